"""The training loop: a generator that the caller interrupts whenever it likes, so it needs no callbacks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Step:
    """What one batch did."""

    number: int
    """Batches since the start, from 0."""
    epoch: int
    """From 1."""
    loss: float
    """Of this batch, before the update it took part in; not divided by `accumulate`."""
    ends_epoch: bool


def adamw(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all parameters; frozen ones never get a gradient and so never move.

    Fused where torch has it: the same update in one pass over memory, which on a CPU is a tenth of a step saved.
    """
    parameters = list(model.parameters())
    fused = parameters[0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)


def steps(
    model: nn.Module,
    loader: "DataLoader[Any]",
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Any], Tensor],
    *,
    epochs: int,
    accumulate: int = 1,
    before_update: Callable[[int], None] | None = None,
) -> Iterator[Step]:
    """Train, and yield after every batch.

    The loader draws from torch's global generator once an epoch; what the caller does between steps may draw too, and
    the book's loops do, in the same places. Every `accumulate` batches, and at an epoch's end, the parameters move; a
    last group that is not full is divided by `accumulate` all the same, as in the book's script. `before_update` is
    called with the batch's number when the gradients are complete: the place to set the rate and to clip.
    """
    number = 0
    for epoch in range(1, epochs + 1):
        model.train()
        for index, batch in enumerate(loader, start=1):
            loss = loss_of(batch)
            (loss / accumulate).backward()
            ends_epoch = index == len(loader)
            if index % accumulate == 0 or ends_epoch:
                if before_update is not None:
                    before_update(number)
                optimizer.step()
                optimizer.zero_grad()
            yield Step(number, epoch, loss.item(), ends_epoch)
            number += 1


def warmup_and_cosine(
    step: int, *, total: int, peak: float, initial: float, minimum: float, warmup: int, cosine: bool
) -> float:
    """The rate at batch `step` of `total`: linear from `initial` to `peak` over `warmup` batches, then down or level.

    With `cosine` it falls along half a cosine and would reach `minimum` at batch `total`. Source: appendix D.
    """
    if step < warmup:
        return initial + step * (peak - initial) / warmup
    if not cosine:
        return peak
    progress = (step - warmup) / (total - warmup)
    return minimum + (peak - minimum) * 0.5 * (1 + math.cos(math.pi * progress))
