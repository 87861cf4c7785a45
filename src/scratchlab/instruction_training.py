"""How chapter 7's task trains: the book's loop and rhythm, measured, and able to go on where it was stopped."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, manual_seed
from torch.nn import functional as F

from scratchlab import evaluate, sampling, train
from scratchlab.data import instructions
from scratchlab.data.instructions import Batch, Entry, Instructions
from scratchlab.model.compute import Compute
from scratchlab.model.decoder import Decoder
from scratchlab.model.parameters import count
from scratchlab.progress import progress
from scratchlab.prompts import PromptConfig, render
from scratchlab.record import Record, read_history
from scratchlab.report import plots
from scratchlab.resume import Resume

if TYPE_CHECKING:
    from scratchlab.tasks.instruct import Instruct

log = logging.getLogger(__name__)

SAMPLES, CURVES = "samples.txt", "loss.png"


@dataclass
class Seen:
    """What training has come by so far; kept with its state."""

    metrics: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    without_target: int = 0
    """Batches."""
    samples: str = ""
    seconds: float = 0.0


def fit(
    config: "Instruct",
    record: Record,
    model: Decoder,
    splits: dict[str, Instructions],
    machine: Compute,
    before: Resume,
    *,
    sample_from: Entry,
) -> dict[str, Any]:
    """Train, evaluate in the script's rhythm, and measure.

    `train_loss` and `val_loss` are those of the last evaluation, as the book prints them; `test_loss` is the mean over
    all batches of the test split.
    """
    settings = config.train
    loaders = instructions.loaders(
        splits, batch_size=settings.batch_size, mask=config.mask_instruction, max_length=settings.max_length
    )
    loss_of = target_loss(model, machine)
    seen = Seen()

    def losses(prefix: str = "") -> dict[str, float]:
        with evaluate.evaluating(model):
            return {
                f"{prefix}{name}_loss": evaluate.mean_loss(learnable(loaders[name]), loss_of, settings.eval_batches)
                for name in ("train", "val")
            }

    def counted_loss(batch: Batch) -> Tensor:
        seen.tokens += batch[0].numel()
        seen.without_target += not instructions.has_target(batch)
        return loss_of(batch)

    optimizer = train.adamw(model, lr=settings.lr, weight_decay=settings.weight_decay)
    steps = train.Steps(
        model, loaders["train"], optimizer, counted_loss, epochs=settings.epochs, accumulate=settings.accumulate
    )
    notes = before.go_on(steps)
    if notes is None:
        seen.metrics = losses("initial_")  # here as in the script: its draws follow those of the model's making
        log.info("before training: train loss %.3f, val loss %.3f", *seen.metrics.values())
        manual_seed(config.seed)
    else:
        seen = Seen(**notes)
    started = time.perf_counter() - seen.seconds
    for step in progress(steps, total=len(steps), done=steps.done, what=config.name):
        record.history(step=step.number, batch_loss=step.loss)
        if step.number % settings.eval_every == 0:
            found = losses()
            seen.metrics |= found
            record.history(step=step.number, **found)
            log.info("epoch %d, step %d: train loss %.3f, val loss %.3f", step.epoch, step.number, *found.values())
        if step.ends_epoch:
            seen.samples += f"epoch {step.epoch}\n{sample(model, config.prompt, sample_from)}\n\n"
            record.write_text(SAMPLES, seen.samples)
        seen.seconds = time.perf_counter() - started
        before.keep(steps, seen)
    if seen.without_target:
        log.warning("%d batches had no target left and taught nothing", seen.without_target)
    plots.curves(read_history(record.folder), ("train_loss", "val_loss"), by="step", path=record.folder / CURVES)
    with evaluate.evaluating(model):
        test_loss = evaluate.mean_loss(learnable(loaders["test"]), loss_of)
    return seen.metrics | {
        "test_loss": test_loss,
        "trainable_parameters": count(model.parameters(), trainable_only=True),
        "parameters": count(model.parameters()),
        "batches_without_target": seen.without_target,
        "tokens_seen": seen.tokens,
        "train_seconds": seen.seconds,
        "tokens_per_second": seen.tokens / seen.seconds,
    }


def target_loss(model: Decoder, machine: Compute) -> Callable[[Batch], Tensor]:
    """The mean cross-entropy over a batch's targets; nought, with gradients of nought, for a batch that has none."""

    def loss_of(batch: Batch) -> Tensor:
        ids, targets = (part.to(machine.device) for part in batch)
        wanted = targets != instructions.IGNORE
        with machine.autocast():
            logits = model(ids, wanted).float()  # of the vocabulary's 50,257 columns, only the rows that count
        if not len(logits):
            return logits.sum() * 0  # the mean over no target is NaN, and would make every weight NaN
        return F.cross_entropy(logits, targets[wanted])

    return loss_of


def learnable(batches: Iterable[Batch]) -> Iterator[Batch]:
    return filter(instructions.has_target, batches)


def sample(model: Decoder, prompt: PromptConfig, entry: Entry) -> str:
    """An entry's question and what the model says to it, as the book prints after every epoch."""
    question, _ = render(prompt, entry)
    ids = model.tokenizer.encode_plain(question)
    [new] = sampling.generate(model, [ids], sampling.SamplingConfig(max_new_tokens=50), end_token=model.tokenizer.end)
    return question + model.tokenizer.decode(new)
