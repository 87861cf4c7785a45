"""Fine-tune a GPT to tell spam from ham: chapter 6, its exercises, and every row of the book's table of variants."""

import csv
import hashlib
import io
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import MessagesConfig, MessageSource
from scratchlab.model.config import ModelConfig, Position, Trainable, TuneConfig, WeightsConfig, check_vocabulary
from scratchlab.run import TrainingRun
from scratchlab.train_config import TrainConfig

if TYPE_CHECKING:
    from scratchlab.data.spam import EncodedSplits
    from scratchlab.evaluate import Predictions
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.record import Record

log = logging.getLogger(__name__)

CLASSES = 2


@dataclass(kw_only=True)
class ClassifyTraining(TrainConfig):
    ignore_index: int = -100
    """A label that the loss leaves out (row 18); no label has a value other than 0 and 1."""


@dataclass(kw_only=True)
class Classify(TrainingRun):
    task: ClassVar[str] = "classify"

    model: ModelConfig
    weights: WeightsConfig
    # a default, because omegaconf 2.3 cannot expand a missing part that holds a union (data.pad_to)
    data: MessagesConfig = field(default_factory=MessagesConfig)
    tune: TuneConfig
    train: ClassifyTraining
    position: Position = Position.last
    save: bool = False
    """Keep the trained model, for task=export and task=chat."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vocabulary(self.model)
        pad_to, context = self.data.pad_to, self.model.context_length
        if isinstance(pad_to, int) and pad_to > context:
            raise ValueError(
                f"data.pad_to={pad_to}: beyond model.context_length={context}; "
                f"possible: 1 to {context}; nearest: data.pad_to={context} (or data.pad_to=context)"
            )
        if pad_to == "none" and self.train.batch_size > 1:
            raise ValueError(
                f"data.pad_to=none with train.batch_size={self.train.batch_size}: rows of unequal length make no "
                f"batch; possible: train.batch_size=1 train.accumulate={self.train.batch_size}, for the same update"
            )
        if self.tune.trainable is Trainable.last_two_blocks and self.model.n_layers < 2:
            raise ValueError(
                f"tune=last_two_blocks: model.n_layers={self.model.n_layers}; possible: tune=last_block, tune=all"
            )
        if 0 <= self.train.ignore_index < CLASSES:
            raise ValueError(
                f"train.ignore_index={self.train.ignore_index}: this is a class, whose examples would all be left "
                "out; possible: any number but 0 and 1"
            )
        self.weights.check(self.model)

    def idle(self) -> dict[str, str]:
        index = self.train.ignore_index
        return (
            {"train.ignore_index": f"no label has the value {index}, so it ignores no example"} if index != -100 else {}
        )

    def inputs(self) -> dict[str, str]:
        from scratchlab.data import assets

        data = {"data": assets.SMS_SPAM.sha256} if self.data.source is MessageSource.spam else {}
        return data | self.weights.inputs()


def classify(config: Classify, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.data import spam
    from scratchlab.model import compute

    machine = compute.prepare(config.compute)
    record.device = machine.name
    encoded = spam.encode(spam.load(config.data), config.data, config.model.tokenizer, config.model.context_length)
    record.hashes |= {f"{name}_split": split.fingerprint() for name, split in encoded.splits.items()}
    model, weights_hash = build(config)
    record.hashes["weights"] = weights_hash
    machine.prepare(model)
    # the published script makes its loaders, then seeds, then trains: every draw after this line is in its order
    torch.manual_seed(config.seed)
    return fit(config, record, model, encoded, machine)


def build(config: Classify) -> tuple["Decoder", str]:
    """The model of a run, its new head in place and its trainable parameters chosen; and the hash of its weights."""
    import torch

    from scratchlab.model import tune, weights

    torch.manual_seed(config.seed)
    model, weights_hash = weights.build(config.model, config.weights)
    torch.manual_seed(config.seed)  # the head is drawn from a fresh start, LoRA's matrices follow on
    tune.add_class_head(model, CLASSES)
    tune.choose_trainable(model, config.tune, new_head=True)
    return model, weights_hash


@dataclass
class Seen:
    """What training has come by so far; kept with its state."""

    tokens: int = 0
    order: list[int] = field(default_factory=list)
    """Index of every example, in the order in which they came."""
    seconds: float = 0.0


def fit(
    config: Classify, record: "Record", model: "Decoder", encoded: "EncodedSplits", machine: "Compute"
) -> dict[str, Any]:
    import numpy as np
    from torch import Tensor
    from torch.nn import functional as F

    from scratchlab import evaluate, train
    from scratchlab.data import spam
    from scratchlab.model.classifier import class_logits
    from scratchlab.model.parameters import count
    from scratchlab.progress import progress
    from scratchlab.resume import Resume

    def logits_of(ids: Tensor) -> Tensor:
        with machine.autocast():
            return class_logits(model, ids.to(machine.device), config.position)

    def loss_of(batch: spam.Batch) -> Tensor:
        ids, labels, _ = batch
        return F.cross_entropy(
            logits_of(ids).float(), labels.to(machine.device), ignore_index=config.train.ignore_index
        )

    loaders = spam.loaders(encoded.splits, config.train.batch_size)
    optimizer = train.adamw(model, lr=config.train.lr, weight_decay=config.train.weight_decay)
    every, batches = config.train.eval_every, config.train.eval_batches
    seen = Seen()

    def counted_loss(batch: spam.Batch) -> Tensor:
        seen.tokens += batch[0].numel()
        seen.order += batch[2].tolist()
        return loss_of(batch)

    steps = train.Steps(
        model, loaders["train"], optimizer, counted_loss, epochs=config.train.epochs, accumulate=config.train.accumulate
    )
    before = Resume(record, config.checkpoint_minutes, afresh=config.force)
    if notes := before.go_on(steps):
        seen = Seen(**notes)
    started = time.perf_counter() - seen.seconds
    for step in progress(steps, total=len(steps), done=steps.done, what=config.name):
        record.history(step=step.number, batch_loss=step.loss)
        if step.number % every == 0:
            with evaluate.evaluating(model):
                losses = {
                    f"{name}_loss": evaluate.mean_loss(loaders[name], loss_of, batches) for name in ("train", "val")
                }
            record.history(step=step.number, **losses)
            log.info("epoch %d, step %d: train loss %.3f, val loss %.3f", step.epoch, step.number, *losses.values())
        if step.ends_epoch:
            with evaluate.evaluating(model):
                accuracies = {
                    f"{name}_accuracy": evaluate.predict(loaders[name], logits_of, batches).accuracy
                    for name in ("train", "val")
                }
            record.history(epoch=step.epoch, **accuracies)
            log.info("epoch %d: train accuracy %.4f, val accuracy %.4f", step.epoch, *accuracies.values())
        seen.seconds = time.perf_counter() - started
        before.keep(steps, seen)
    record.hashes["batch_order"] = hashlib.sha256(np.array(seen.order, dtype=np.int64).tobytes()).hexdigest()
    with evaluate.evaluating(model):
        predictions = {name: evaluate.predict(loaders[name], logits_of) for name in spam.SPLITS}
    write_predictions(record, predictions)
    write_curves(record)
    if config.save:
        from scratchlab.model.state_files import save_state
        from scratchlab.record import MODEL

        save_state(model, record.folder / MODEL)
    before.drop_state()
    return (
        {f"{name}_accuracy": found.accuracy for name, found in predictions.items()}
        | {f"{name}_loss": found.loss for name, found in predictions.items()}
        | {
            "trainable_parameters": count(model.parameters(), trainable_only=True),
            "parameters": count(model.parameters()),
            "padded_length": encoded.length,
            "examples_seen": config.train.epochs * len(loaders["train"]) * config.train.batch_size,
            "tokens_seen": seen.tokens,
            "train_seconds": seen.seconds,
            "tokens_per_second": seen.tokens / seen.seconds,
        }
    )


def write_predictions(record: "Record", predictions: dict[str, "Predictions"]) -> None:
    """Write predictions.csv: one line an example, `probability` that of spam, sorted by index within each split."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["split", "index", "label", "prediction", "probability"])
    for name, found in predictions.items():
        columns = (found.indices, found.labels, found.predicted, found.probabilities[:, 1])
        for index, label, prediction, probability in sorted(zip(*(c.tolist() for c in columns), strict=True)):
            writer.writerow([name, index, label, prediction, f"{probability:.9g}"])
    record.write_text("predictions.csv", table.getvalue())


def write_curves(record: "Record") -> None:
    from scratchlab.record import read_history
    from scratchlab.report import plots

    history = read_history(record.folder)
    plots.curves(history, ("train_loss", "val_loss"), by="step", path=record.folder / "loss.png")
    plots.curves(history, ("train_accuracy", "val_accuracy"), by="epoch", path=record.folder / "accuracy.png")
