"""The training loop: an iterator that the caller interrupts whenever it likes, so it needs no callbacks."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scratchlab import processes
from scratchlab.model.decoder import Decoder
from scratchlab.model.sharded import as_part, gathered, load_optimizer, whole
from scratchlab.training.ranks import Ranks

log = logging.getLogger(__name__)

_NO_MEMORY = "can't allocate memory"
"""How torch's allocator for CPUs says so, in a RuntimeError without a type of its own."""


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


def adamw(
    model: nn.Module, *, lr: float, weight_decay: float, state: dict[str, Any] | None = None
) -> torch.optim.AdamW:
    """AdamW over all parameters; frozen ones never get a gradient and so never move.

    `state`: go on from another optimizer's, whose rate and weight decay then replace the given ones.

    Fused where torch has it: the same update in one pass over memory, which on a CPU is a tenth of a step saved.
    """
    parameters = list(model.parameters())
    fused = parameters[0].device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    if state is not None:
        try:
            load_optimizer(optimizer, state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the checkpoint's optimizer state does not fit this model: {error}") from error
        log.info("the optimizer goes on with lr %g", optimizer.param_groups[0]["lr"])
    return optimizer


class Steps:
    """Train while being iterated over, and yield after every batch.

    The loader draws from torch's global generator once an epoch; what the caller does between steps may draw too, and
    the book's loops do, in the same places. Every `accumulate` batches, and at an epoch's end, the parameters move; a
    last group that is not full is divided by `accumulate` all the same, as in the book's script. `before_update` is
    called with the batch's number when the gradients are complete: the place to set the rate and to clip.
    `before_batch` is called with each batch once, before its loss.

    Where a batch takes more memory than there is, it and all that follow are learned in parts, half as large each time,
    until they fit. What a part gives counts by its share of the batch's targets (`targets`; default: its rows), so that
    loss and update stay those of the whole batch, dropout's draws apart. Several processes divide each batch in such a
    way (`Ranks`); where one of them lacks memory, the run fails.

    `state` between two steps is all that training depends on: with it, another process goes on to the same numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: "DataLoader[Any]",
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[Any], Tensor],
        *,
        epochs: int,
        accumulate: int = 1,
        before_update: Callable[[int], None] | None = None,
        before_batch: Callable[[Any], None] | None = None,
        targets: Callable[[Any], int] | None = None,
    ) -> None:
        self.model, self.loader, self.optimizer, self.loss_of = model, loader, optimizer, loss_of
        self.epochs, self.accumulate, self.before_update = epochs, accumulate, before_update
        self.before_batch, self.targets = before_batch, targets or (lambda batch: len(batch[0]))
        self.ranks = Ranks(model, self.targets, draws=_draws(model)) if processes.count() > 1 else None
        """The processes that divide every batch among them, if there are several."""
        self.rows = 0
        """Most rows learned at a time; 0: whole batches."""
        self._group: list[tuple[Any, Draws]] = []
        """Batches whose gradients wait for their update, and where the generators stood before each."""
        self.done = 0
        """Batches since the start."""
        self.epoch = 1
        self.batch = 0
        """Batches since the start of the epoch."""
        self.complete = True
        """Whether every gradient so far has moved the parameters."""
        self._epoch_draws: Draws = {}
        self._draws: Draws = {}
        """The generators' states that a loaded state goes on from."""

    def __len__(self) -> int:
        return self.epochs * len(self.loader)

    def __iter__(self) -> Iterator[Step]:
        if self.epoch > self.epochs:  # the state of a training that is over: what comes after it may draw as well
            set_draws(self._draws)
        while self.epoch <= self.epochs:
            for batch in self._batches():
                if self.before_batch is not None:
                    self.before_batch(batch)
                loss = self._learn(batch)
                self.batch += 1
                ends_epoch = self.batch == len(self.loader)
                self.complete = self.batch % self.accumulate == 0 or ends_epoch
                if self.complete:
                    if self.before_update is not None:
                        self.before_update(self.done)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                    self._group.clear()
                self.done += 1
                yield Step(self.done - 1, self.epoch, loss, ends_epoch)
            if self.ranks is not None:
                self.ranks.check_draws()
            self.epoch, self.batch = self.epoch + 1, 0

    def _learn(self, batch: Any) -> float:
        """Add a batch's gradients to those that wait, and return its loss."""
        if self.ranks is not None:
            return self._learn_together(batch, self.ranks)
        self._group.append((batch, draws(next(self.model.parameters()).device)))
        pending = self._group[-1:]
        while True:
            try:
                for waiting, states in pending:
                    set_draws(states)
                    loss = self._add_gradients(waiting)
                return loss
            except (RuntimeError, MemoryError) as error:
                self._halve(error, len(batch[0]))
            # here, where the error no longer holds on to what it met; a gradient may be there in part
            self.optimizer.zero_grad()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            pending = self._group

    def _learn_together(self, batch: Any, ranks: Ranks) -> float:
        last = (self.batch + 1) % self.accumulate == 0 or self.batch + 1 == len(self.loader)
        with ranks.share_of(batch, last=last) as (mine, weight):
            loss = ranks.through(lambda: self.loss_of(mine)) * weight
            (loss / self.accumulate).backward()
        return processes.total(loss.item()) / processes.count()

    def _add_gradients(self, batch: Any) -> float:
        if not 0 < self.rows < len(batch[0]):
            loss = self.loss_of(batch)
            (loss / self.accumulate).backward()
            return loss.item()
        total, whole = self.targets(batch) or 1, 0.0
        for start in range(0, len(batch[0]), self.rows):
            part = tuple(values[start : start + self.rows] for values in batch)
            loss = self.loss_of(part) * (self.targets(part) / total)
            (loss / self.accumulate).backward()
            whole += loss.item()
        return whole

    def _halve(self, error: Exception, rows: int) -> None:
        """Learn half as many rows at a time from now on, if memory is what was lacking."""
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and _NO_MEMORY not in str(error):
            raise error
        rows = min(self.rows or rows, rows)
        if rows == 1:
            error.add_note(
                "a single example takes more memory than there is; possible: fewer tokens, tune=lora, "
                "compute.checkpoint_activations=true"
            )
            raise error
        self.rows = (rows + 1) // 2
        log.warning("out of memory with %d rows at a time: going on with %d, to the same update", rows, self.rows)

    def _batches(self) -> Iterator[Any]:
        """The rest of this epoch's batches; those that a loaded state is past are drawn again and left out."""
        device = next(self.model.parameters()).device
        if self.batch:
            set_draws(self._epoch_draws)
        elif self._draws:
            set_draws(self._draws)
        self._epoch_draws = draws(device)
        batches = iter(self.loader)
        for _ in range(self.batch):
            next(batches)
        if self.batch:
            set_draws(self._draws)
        self._draws = {}
        self.model.train()
        yield from batches

    def state(self) -> dict[str, Any]:
        """Everything that the next steps depend on; its tensors are the live ones.

        Raises:
            RuntimeError: gradients wait for their update (`complete` says so), and they are no part of a state.
        """
        if not self.complete:
            raise RuntimeError(f"batch {self.done - 1} has not moved the parameters yet: accumulate={self.accumulate}")
        ended = self.batch == len(self.loader)
        return {
            "done": self.done,
            "epoch": self.epoch + ended,
            "batch": 0 if ended else self.batch,
            "epoch_draws": self._epoch_draws,
            "draws": draws(next(self.model.parameters()).device),
            "trainable": gathered({name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}),
            "optimizer": gathered(self.optimizer.state_dict()),
            "rows": self.rows,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a state of the same training, before iterating.

        Raises:
            ValueError: it is of another; nothing was taken up.
        """
        kept = state["trainable"]
        moving = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        if {name: p.shape for name, p in kept.items()} != {name: p.shape for name, p in moving.items()}:
            raise ValueError("its parameters have other names or shapes")
        if not 0 <= state["batch"] < len(self.loader) or not 1 <= state["epoch"] <= self.epochs + 1:
            raise ValueError(f"it stands at epoch {state['epoch']}, batch {state['batch']}")
        load_optimizer(self.optimizer, state["optimizer"])
        with torch.no_grad():
            for name, parameter in moving.items():
                parameter.copy_(as_part(kept[name], parameter))
        self.done, self.epoch, self.batch = state["done"], state["epoch"], state["batch"]
        self._epoch_draws, self._draws = state["epoch_draws"], state["draws"]
        self.rows = state.get("rows", 0)  # not in states from before parts were learned


Draws = dict[str, Tensor]
"""States of random generators, by kind of device."""


def draws(device: torch.device) -> Draws:
    """Where torch's global generators stand: the CPU's, which loaders draw from, and the device's."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def draws_in_training(model: nn.Module, run: Callable[[], Any]) -> bool:
    """Whether `run` draws random numbers while `model` trains, found by letting it; the generators are put back."""
    before, training = draws(next(model.parameters()).device), model.training
    model.train()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), whole(model):
            run()
        after = draws(next(model.parameters()).device)
    finally:
        model.train(training)
        set_draws(before)
    return any(not torch.equal(after[kind], state) for kind, state in before.items())


def _draws(model: nn.Module) -> bool:
    """Whether a decoder draws random numbers while it trains."""
    assert isinstance(model, Decoder)
    one = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    return draws_in_training(model, lambda: model.states(one))


def set_draws(states: Draws) -> None:
    for kind, state in states.items():
        setters: dict[str, Callable[[Tensor], None]] = {
            "cpu": torch.set_rng_state,
            "cuda": torch.cuda.set_rng_state,
            "mps": torch.mps.set_rng_state,
        }
        setters[kind](state)
