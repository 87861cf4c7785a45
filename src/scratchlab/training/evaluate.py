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

from scratchlab.data import instructions, spam
from scratchlab.model.classifier import class_logits
from scratchlab.model.compute import Compute
from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder
from scratchlab.runs.record import Record


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode before comes back."""
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(before)


def mean_loss(loader: Iterable[Any], loss_of: Callable[[Any], Tensor], batches: int | None = None) -> float:
    """Mean of the batch losses over the first `batches` (all: None); NaN for an empty loader, as in the book.

    A pass over a shuffled loader draws from the global generator, whether or not it is cut short.
    """
    losses = [loss_of(batch).item() for batch in islice(loader, batches)]
    return sum(losses) / len(losses) if losses else float("nan")


def next_token_loss(model: nn.Module, machine: Compute) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    """The mean cross-entropy of a batch of ids (B, T) and the ids that follow each of them (B, T)."""

    def loss_of(batch: tuple[Tensor, Tensor]) -> Tensor:
        ids, targets = (part.to(machine.device) for part in batch)
        with machine.autocast():
            logits = model(ids)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    return loss_of


def target_loss(model: nn.Module, machine: Compute) -> Callable[[instructions.Batch], Tensor]:
    """The mean cross-entropy over a batch's targets; zero, with gradients of zero, for a batch that has none."""

    def loss_of(batch: instructions.Batch) -> Tensor:
        ids, targets = (part.to(machine.device) for part in batch)
        wanted = targets != instructions.IGNORE
        with machine.autocast():
            logits = model(ids, wanted).float()  # of the vocabulary's many columns, only the rows that count
        if not len(logits):
            return logits.sum() * 0  # the mean over no target is NaN, and would make every weight NaN
        return F.cross_entropy(logits, targets[wanted])

    return loss_of


def class_logits_of(model: Decoder, machine: Compute, position: Position) -> Callable[[Tensor], Tensor]:
    """Ids (B, T) to class logits (B, classes), read at `position`."""

    def logits_of(ids: Tensor) -> Tensor:
        with machine.autocast():
            return class_logits(model, ids.to(machine.device), position)

    return logits_of


def class_loss(
    logits_of: Callable[[Tensor], Tensor], machine: Compute, ignore_index: int
) -> Callable[[spam.Batch], Tensor]:
    """The mean cross-entropy of a batch's labels, those equal to `ignore_index` left out."""

    def loss_of(batch: spam.Batch) -> Tensor:
        ids, labels, _ = batch
        return F.cross_entropy(logits_of(ids).float(), labels.to(machine.device), ignore_index=ignore_index)

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
    loader: "DataLoader[Any]", logits_of: Callable[[Tensor], Tensor], batches: int | None = None
) -> Predictions:
    """Classify the first `batches` (all: None) of a loader of (ids, labels, indices).

    Raises:
        ValueError: the loader gives no batch.
    """
    indices, labels, logits = [], [], []
    for ids, label, index in islice(loader, batches):
        indices.append(index)
        labels.append(label)
        logits.append(logits_of(ids).float().cpu())
    if not logits:
        raise ValueError("no batch to classify: the split is smaller than one batch; lower train.batch_size")
    all_labels, all_logits = torch.cat(labels), torch.cat(logits)
    loss = F.cross_entropy(all_logits, all_labels).item()
    return Predictions(torch.cat(indices), all_labels, all_logits.softmax(dim=-1), loss)


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
