"""The one training loop: it trains what a task hands over, evaluates in the book's rhythm, records, and can go on."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scratchlab import processes
from scratchlab.model.parameters import count
from scratchlab.model.sharded import whole
from scratchlab.progress import progress
from scratchlab.report import plots
from scratchlab.runs.record import Record, read_history
from scratchlab.runs.signals import at_boundaries
from scratchlab.training import evaluate, pace
from scratchlab.training.config import TrainConfig
from scratchlab.training.resume import Resume
from scratchlab.training.steps import Step, Steps

log = logging.getLogger(__name__)

SAMPLES, LOSS_CURVES, ACCURACY_CURVES, PACE_CURVES = "samples.txt", "loss.png", "accuracy.png", "pace.png"
FILES = (SAMPLES, LOSS_CURVES, PACE_CURVES, pace.FILE)
"""What a training without accuracies leaves beside its history."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a task hands over. Whatever it draws comes from torch's global generator, in the book's order."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loader: "DataLoader[Any]"
    """Batches whose first part are the token ids."""
    loss_of: Callable[[Any], Tensor]
    losses: Callable[[], dict[str, float]]
    """`train_loss` and `val_loss`, after batch 0 and every `eval_every` batches from there; without gradients."""
    accuracies: Callable[[], dict[str, float]] | None = None
    """`train_accuracy` and `val_accuracy`, at the end of an epoch; without gradients."""
    sample: Callable[[int], str] | None = None
    """What samples.txt gains at the end of an epoch, counted from 1."""
    before_update: Callable[[int], None] | None = None
    """As in `Steps`."""
    examples: Callable[[Any], list[int]] | None = None
    """Indices of a batch's examples: their order is part of the record."""
    counts: Mapping[str, Callable[[Any], int]] = field(default_factory=dict)
    """What else is counted over the training batches, by metric."""
    targets: Callable[[Any], int] | None = None
    """What a batch's loss is the mean over, counted; None: its rows."""
    seed: int | None = None
    """Seeds the generator right before batch 0, as in chapters 6 and 7; None goes on from the draws so far, as in 5."""
    measures_first: bool = False
    """Measure the losses before that seed too, as chapter 7 does."""
    tokens_in_history: bool = False
    """Say at every evaluation how many tokens were seen: the second axis of chapter 5's plot."""


@dataclass
class Seen:
    """What a training has seen and measured so far; kept with its state."""

    initial: dict[str, float] = field(default_factory=dict)
    """Losses before training."""
    first: dict[str, float] = field(default_factory=dict)
    """Losses of the first evaluation."""
    last: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    """Index of every example, in the order in which they came."""
    samples: str = ""
    seconds: float = 0.0

    def metrics(self, model: nn.Module) -> dict[str, Any]:
        """What every training measures, whatever it trains on."""
        return {
            "trainable_parameters": count(model.parameters(), trainable_only=True),
            "parameters": count(model.parameters()),
            "tokens_seen": self.tokens,
            "train_seconds": self.seconds,
            **({"tokens_per_second": self.tokens / self.seconds} if self.tokens else {}),
        } | self.counts


def fit(parts: Parts, settings: TrainConfig, record: Record, resume: Resume, *, what: str) -> Seen:
    """Train to the end, from where this run was stopped if it was; `what` names it beside the progress bar."""
    seen = Seen(counts=dict.fromkeys(parts.counts, 0))
    steps = Steps(
        parts.model,
        parts.loader,
        parts.optimizer,
        parts.loss_of,
        epochs=settings.epochs,
        accumulate=settings.accumulate,
        before_update=parts.before_update,
        before_batch=lambda batch: _count(parts, seen, batch),
        targets=parts.targets,
    )
    notes = resume.go_on(steps)
    if notes is None:
        _begin(parts, seen)
    else:
        seen = Seen(**notes)
        if parts.sample is not None:
            record.write_text(SAMPLES, seen.samples)
    started = time.perf_counter() - seen.seconds
    with at_boundaries() as ending, pace.Pace(record.folder, parts.optimizer, seen.tokens) as clock:
        for step in progress(steps, total=len(steps), done=steps.done, what=what):
            clock.batch(step.number, seen.tokens)
            record.history(step=step.number, batch_loss=step.loss)
            if step.number % settings.eval_every == 0:
                _evaluate(parts, seen, step, record)
            if step.ends_epoch:
                _end_epoch(parts, seen, step.epoch, record)
            seen.seconds = time.perf_counter() - started
            asked = processes.any_of(bool(ending.asked))
            resume.keep(steps, seen, asked)
            if steps.complete and asked:
                ending.here(of_others="SIGTERM")
            clock.go()
    resume.hold(steps, seen)
    if steps.rows:
        record.computed["rows_at_a_time"] = steps.rows
    if parts.examples is not None:
        record.hashes["batch_order"] = hashlib.sha256(np.array(seen.order, dtype=np.int64).tobytes()).hexdigest()
    if processes.first():
        draw_curves(record)
    return seen


def _count(parts: Parts, seen: Seen, batch: Any) -> None:
    seen.tokens += batch[0].numel()
    if parts.examples is not None:
        seen.order += parts.examples(batch)
    for name, of in parts.counts.items():
        seen.counts[name] += of(batch)


def _begin(parts: Parts, seen: Seen) -> None:
    """What stands before batch 0, of a training that is not taken up."""
    if parts.measures_first:
        with evaluate.evaluating(parts.model):
            seen.initial = parts.losses()
        log.info("before training: train loss %.3f, val loss %.3f", *seen.initial.values())
    if parts.seed is not None:
        torch.manual_seed(parts.seed)


def _evaluate(parts: Parts, seen: Seen, step: Step, record: Record) -> None:
    with evaluate.evaluating(parts.model):
        found = parts.losses()
    seen.first, seen.last = seen.first or found, found
    record.history(step=step.number, **found, **({"tokens_seen": seen.tokens} if parts.tokens_in_history else {}))
    log.info("epoch %d, step %d: train loss %.3f, val loss %.3f", step.epoch, step.number, *found.values())


def _end_epoch(parts: Parts, seen: Seen, epoch: int, record: Record) -> None:
    if parts.accuracies is not None:
        with evaluate.evaluating(parts.model):
            found = parts.accuracies()
        record.history(epoch=epoch, **found)
        log.info("epoch %d: train accuracy %.4f, val accuracy %.4f", epoch, *found.values())
    if parts.sample is not None:
        with whole(parts.model):
            seen.samples += parts.sample(epoch)
        record.write_text(SAMPLES, seen.samples)


def draw_curves(record: Record) -> None:
    """Plot losses over batches, accuracies over epochs, rate and speed; nothing where nothing was trained."""
    history = read_history(record.folder)
    if any("val_loss" in line for line in history):
        losses = ("train_loss", "val_loss")
        plots.curves(history, losses, by="step", path=record.folder / LOSS_CURVES, raw="batch_loss")
    if any("val_accuracy" in line for line in history):
        plots.curves(history, ("train_accuracy", "val_accuracy"), by="epoch", path=record.folder / ACCURACY_CURVES)
    if len(lines := pace.read(record.folder)) > 1:
        plots.pace(lines, path=record.folder / PACE_CURVES)
