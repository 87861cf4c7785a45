"""A batch learned by several processes, each some of its rows, to the loss and the update of one process."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scratchlab import processes
from scratchlab.model.decoder import Decoder
from scratchlab.training.whole_draws import WholeDraws

log = logging.getLogger(__name__)


class _Through(nn.Module):
    """A model that is used by a call: what DistributedDataParallel takes for one pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: Callable[[], Tensor]) -> Tensor:
        return call()


class Ranks:
    """What the processes of a training do together; all of them have the whole batch, drawn in the same order.

    PyTorch takes the mean of the processes' gradients: for DistributedDataParallel with every update, for a sharded
    model (FSDP) too. A process's loss is weighted by its share of the batch's targets, so that the mean is the gradient
    of the whole batch, however unevenly the targets lie.
    """

    def __init__(self, model: nn.Module, targets: Callable[[Any], int], *, draws: bool) -> None:
        """`draws`: the model draws random numbers while it trains.

        Raises:
            ValueError: it is compiled, and would draw others than in one process.
        """
        if draws and isinstance(model, Decoder):
            if any(block._compiled_call_impl is not None for block in model.blocks):
                raise ValueError(
                    "compute.compile=true with dropout in several processes: a compiled block draws for its own rows "
                    "alone; possible: compute.compile=false, dropout=none, or without torchrun"
                )
            if model.checkpoints:
                log.warning("compute.checkpoint_activations is off: with dropout in several processes it draws others")
                model.checkpoints = False
        self.model, self.targets, self.draws = model, targets, draws
        self.copies = None
        if not getattr(model, "sharded", False):
            self.copies = DistributedDataParallel(_Through(model))

    @contextmanager
    def share_of(self, batch: Any, *, last: bool) -> Iterator[tuple[Any, float]]:
        """This process's rows of a batch, and what their loss counts in the mean; both ways through the model inside.

        `last`: the update follows.
        """
        total = len(batch[0])
        rows = share(total)
        mine = tuple(part[rows] for part in batch)
        weight = processes.count() * self.targets(mine) / (self.targets(batch) or 1)
        with self._waiting(last), WholeDraws(rows, total) if self.draws else nullcontext():
            yield mine, weight

    def through(self, call: Callable[[], Tensor]) -> Tensor:
        """One pass through the model."""
        if self.copies is not None:
            found: Tensor = self.copies(call)
            return found
        assert isinstance(self.model, Decoder)
        return self.model.through(call)

    def _waiting(self, last: bool) -> AbstractContextManager[Any]:
        """Before the last batch of an update, each process keeps its gradients for itself."""
        if self.copies is not None:
            return nullcontext() if last else self.copies.no_sync()
        self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
        return nullcontext()

    def check_draws(self) -> None:
        """Hold the generators, which must stand at the same place in every process, against each other.

        Raises:
            RuntimeError: they do not; the next epochs would train on other batches in each.
        """
        states = processes.each(hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest())
        if len(set(states)) > 1:
            raise RuntimeError(
                f"{len(states)} processes have drawn other random numbers than each other; possible: without torchrun"
            )


def share(rows: int) -> slice:
    """The rows of a batch that this process learns.

    Raises:
        ValueError: there are fewer rows than processes.
    """
    processes.check_rows(rows)
    count, number = processes.count(), processes.number()
    return slice(rows * number // count, rows * (number + 1) // count)
