"""Loss and accuracy over a loader, in the book's order of random draws."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from scratchlab import processes
from scratchlab.data import instructions
from scratchlab.model.classifier import class_logits
from scratchlab.model.compute import Compute
from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder
from scratchlab.model.rounded import RoundedFrozen
from scratchlab.model.sharded import whole
from scratchlab.model.vocabulary_loss import vocabulary_loss
from scratchlab.runs.record import Record
from scratchlab.training import steps


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode before comes back."""
    before = model.training
    model.eval()
    try:
        with torch.no_grad(), whole(model):
            yield
    finally:
        model.train(before)


def mean_loss(loader: Iterable[Any], loss_of: Callable[[Any], Tensor], batches: int | None = None) -> float:
    """Mean of the batch losses over the first `batches` (all: None); NaN for an empty loader, as in the book.

    A pass over a shuffled loader draws from the global generator, whether or not it is cut short.
    """
    losses = list(processes.shared_out(islice(loader, batches), lambda batch: loss_of(batch).item()))
    return sum(losses) / len(losses) if losses else float("nan")


def next_token_loss(model: nn.Module, machine: Compute) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    """The mean cross-entropy of a batch of ids (B, T) and the ids that follow each of them (B, T)."""

    def loss_of(batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, targets = (part.to(machine.device) for part in batch)
        with machine.autocast():
            logits = model(ids)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    return loss_of


def target_loss(model: Decoder, machine: Compute) -> Callable[[instructions.Batch], Tensor]:
    """The mean cross-entropy over a batch's targets; zero, with gradients of zero, for a batch that has none."""
    frozen = RoundedFrozen(model)

    def loss_of(batch: instructions.Batch) -> Tensor:
        ids, targets = (part.to(machine.device) for part in batch)
        wanted = targets != instructions.IGNORE
        with machine.autocast(), frozen():
            x = model.states(ids)[wanted]  # of the vocabulary's many columns, only the rows that count
            if not len(x):
                return model.head(x).float().sum()  # of nothing: 0; the mean is NaN, and would make every weight so
            return vocabulary_loss(model, x, targets[wanted])

    return loss_of


def class_logits_of(model: Decoder, machine: Compute, position: Position) -> Callable[[Any], Tensor]:
    """A batch, whose first part are ids (B, T), to class logits (B, classes), read at `position`."""
    only_needed, frozen = needed_only(model, machine), RoundedFrozen(model)

    def logits_of(batch: Any) -> Tensor:
        with machine.autocast(), frozen():
            return class_logits(model, batch[0].to(machine.device), position, only_needed=only_needed())

    return logits_of


def needed_only(model: Decoder, machine: Compute) -> Callable[[], bool]:
    """Whether what cannot act on the class may be left out at the moment: never while random numbers are drawn."""
    if not machine.config.only_needed:
        return lambda: False
    one = torch.zeros(1, 1, dtype=torch.long, device=machine.device)
    draws = steps.draws_in_training(model, lambda: model.states(one))
    return lambda: not (draws and model.training)


def class_loss(logits_of: Callable[[Any], Tensor], machine: Compute, ignore_index: int) -> Callable[[Any], Tensor]:
    """The mean cross-entropy of a batch's labels, those equal to `ignore_index` left out."""

    def loss_of(batch: Any) -> Tensor:
        _, labels, *_ = batch
        return F.cross_entropy(logits_of(batch).float(), labels.to(machine.device), ignore_index=ignore_index)

    return loss_of


@dataclass(frozen=True)
class Predictions:
    """What a classifier says of a split, example by example, in the order in which the loader gave them."""

    indices: Tensor
    labels: Tensor
    probabilities: Tensor
    """(N, classes)"""
    loss: float
    """Mean cross-entropy over the examples."""

    @property
    def predicted(self) -> Tensor:
        return self.probabilities.argmax(dim=-1)

    @property
    def accuracy(self) -> float:
        """Fraction of examples whose most probable class is the label."""
        return (self.predicted == self.labels).double().mean().item()


def predict(
    loader: "DataLoader[Any]",
    logits_of: Callable[[Any], Tensor],
    batches: int | None = None,
    *,
    lengths: Callable[[Tensor], Tensor] | None = None,
) -> Predictions:
    """Classify the first `batches` (all: None) of a loader of (ids, labels, indices, and whatever `logits_of` reads).

    `lengths`: of the rows of ids (B, T); where given, rows of like length are classified together, which takes rows of
    one width. The loader draws as ever, and the predictions are in its order.

    Raises:
        ValueError: the loader gives no batch.
    """
    order = None
    given: Iterable[Any] = islice(loader, batches)
    if lengths is not None and (whole := list(given)):
        ids, *others = (torch.cat(part) for part in zip(*whole, strict=True))
        order = lengths(ids).argsort(stable=True)
        given = [(ids[rows], *(other[rows] for other in others)) for rows in order.split(len(whole[0][0]))]
    told = list(processes.shared_out(given, lambda batch: (batch[2], batch[1], logits_of(batch).float().cpu())))
    if not told:
        raise ValueError("no batch to classify: the split is smaller than one batch; lower train.batch_size")
    found = [torch.cat(part) for part in zip(*told, strict=True)]
    if order is not None:
        found = [part[order.argsort()] for part in found]
    loss = F.cross_entropy(found[2], found[1]).item()
    return Predictions(found[0], found[1], found[2].softmax(dim=-1), loss)


def _told(found: Predictions) -> Tensor:
    two = found.probabilities.shape[1] == 2
    return found.probabilities[:, 1] if two else found.probabilities[torch.arange(len(found.labels)), found.labels]


def write_predictions(record: Record, predictions: dict[str, Predictions]) -> None:
    """Write predictions.csv: one line an example, sorted by index within each split.

    `probability` is that of class 1 (spam) where there are two; of more classes, that of the example's own label.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["split", "index", "label", "prediction", "probability"])
    for name, found in predictions.items():
        columns = (found.indices, found.labels, found.predicted, _told(found))
        for index, label, prediction, probability in sorted(zip(*(c.tolist() for c in columns), strict=True)):
            writer.writerow([name, index, label, prediction, f"{probability:.9g}"])
    record.write_text("predictions.csv", table.getvalue())
