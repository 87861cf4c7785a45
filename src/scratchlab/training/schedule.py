"""Appendix D: the learning rate's warm-up and decay, and the gradient's clipping."""

import logging
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from scratchlab.training.config import Decay, PretrainTraining

log = logging.getLogger(__name__)


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


def updater(
    config: PretrainTraining, model: nn.Module, optimizer: torch.optim.Optimizer, batches: int
) -> Callable[[int], None]:
    """What happens between gradients and update: the rate of this batch, and clipping. Source: appendix D.

    `batches`: of an epoch.
    """
    total = config.epochs * batches
    for key, reason in config.idle_in(total).items():
        log.warning("%s has no effect: %s", key, reason)

    def before_update(step: int) -> None:
        if config.scheduled:
            rate = warmup_and_cosine(
                step,
                total=total,
                peak=config.lr,
                initial=config.initial_lr,
                minimum=config.min_lr,
                warmup=config.warmup,
                cosine=config.decay is Decay.cosine,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
        if config.clip_norm and step >= config.warmup:
            clip_grad_norm_(model.parameters(), config.clip_norm)

    return before_update
