"""Fine-tune a model to tell spam from ham, or classes of your own: chapter 6, and all rows of its table of variants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import MessagesConfig
from scratchlab.data.sources import FILE
from scratchlab.model.config import Position
from scratchlab.runs.identity import bookkeeping
from scratchlab.training.config import TrainConfig
from scratchlab.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class ClassifyTraining(TrainConfig):
    ignore_index: int = -100
    """A label that the loss leaves out (row 18); labels are 0, 1 and so on, one a class."""


@dataclass(kw_only=True)
class Classify(FineTuning):
    task: ClassVar[str] = "classify"

    # a default, because omegaconf 2.3 cannot expand a missing part that holds a union (data.pad_to)
    data: MessagesConfig = field(default_factory=MessagesConfig)
    train: ClassifyTraining
    position: Position = Position.last
    save: bool = bookkeeping(False)
    """Keep the trained model, for task=export and task=chat."""

    def __post_init__(self) -> None:
        super().__post_init__()
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
        own = self.data.source == FILE  # it is not read before the run
        if 0 <= self.train.ignore_index and (own or self.train.ignore_index < len(self.classes)):
            raise ValueError(
                f"train.ignore_index={self.train.ignore_index}: this is a class, whose examples would all be left "
                f"out; possible: {'a number below 0' if own else 'any number but 0 and 1'}"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    def idle(self) -> dict[str, str]:
        index = self.train.ignore_index
        return (
            {"train.ignore_index": f"no label has the value {index}, so it ignores no example"} if index != -100 else {}
        )

    def inputs(self) -> dict[str, str]:
        return self.data.inputs() | self.weights.inputs()


def classify(config: Classify, record: "Record") -> dict[str, Any]:
    from scratchlab.data import spam
    from scratchlab.model import compute
    from scratchlab.training import evaluate, fit, frozen, steps
    from scratchlab.training.resume import Resume

    machine = compute.prepare(config.compute)
    record.device = machine.name
    update = config.train.batch_size * config.train.accumulate
    whole = spam.load(config.data)
    frames = {name: spam.part(frame, config.few(update, len(frame))) for name, frame in whole.items()}
    encoded = spam.encode(frames, config.data, config.model.tokenizer, config.model.context_length)
    record.hashes |= {f"{name}_split": split.fingerprint() for name, split in encoded.splits.items()}
    model, record.hashes["weights"] = config.build()
    machine.prepare(model)
    shortened = frozen.shorten(model, machine, config.position, encoded.splits)
    record.computed |= shortened.computed
    loaders = spam.loaders(shortened.splits, config.train.batch_size)
    loss_of = evaluate.class_loss(shortened.logits_of, machine, config.train.ignore_index)
    batches = config.train.eval_batches

    def predict(name: str, batches: int | None = None) -> evaluate.Predictions:
        return evaluate.predict(loaders[name], shortened.logits_of, batches, lengths=shortened.lengths)

    def each(measure: Callable[[str], float], what: str) -> dict[str, float]:
        return {f"{name}_{what}": measure(name) for name in ("train", "val")}

    parts = fit.Parts(
        model=model,
        optimizer=steps.adamw(model, lr=config.train.lr, weight_decay=config.train.weight_decay),
        loader=loaders["train"],
        loss_of=loss_of,
        losses=lambda: each(lambda name: evaluate.mean_loss(loaders[name], loss_of, batches), "loss"),
        accuracies=lambda: each(lambda name: predict(name, batches).accuracy, "accuracy"),
        examples=lambda batch: batch[2].tolist(),
        # the published script makes its loaders, then seeds, then trains: every draw after that is in its order
        seed=config.seed,
    )
    before = Resume(record, config.checkpoint_minutes, start_over=config.force)
    seen = fit.fit(parts, config.train, record, before, what=config.name)
    with evaluate.evaluating(model):
        predictions = {name: predict(name) for name in spam.SPLITS}
    evaluate.write_predictions(record, predictions)
    if config.save:
        before.save_model(model)
    return (
        {f"{name}_accuracy": found.accuracy for name, found in predictions.items()}
        | {f"{name}_loss": found.loss for name, found in predictions.items()}
        | {
            "padded_length": encoded.length,
            "examples_seen": config.train.epochs * len(loaders["train"]) * config.train.batch_size,
        }
        | seen.metrics(model)
        | ({"classes": list(config.classes)} if config.data.source == FILE else {})
    )
