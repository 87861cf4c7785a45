"""Fine-tune a model to follow instructions, let it answer the test split, and score the answers: chapter 7."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import InstructionsConfig
from scratchlab.generation.config import SamplingConfig
from scratchlab.judging.config import JudgeBackend, JudgeConfig
from scratchlab.runs.identity import bookkeeping, fingerprint
from scratchlab.text.prompts import PromptConfig
from scratchlab.training.config import TrainConfig
from scratchlab.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    from scratchlab.data.instructions import Entry, Instructions
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record
    from scratchlab.training.resume import Resume

log = logging.getLogger(__name__)

AFTER_TRAINING = ("sampling", "judge")
"""Parts of the configuration that act only when the model is trained."""


@dataclass(kw_only=True)
class InstructTraining(TrainConfig):
    least_epochs: ClassVar[int] = 0

    max_length: int
    """Tokens that an entry is cut to."""


@dataclass(kw_only=True)
class Instruct(FineTuning):
    task: ClassVar[str] = "instruct"

    data: InstructionsConfig
    prompt: PromptConfig
    mask_instruction: bool = False
    """Leave the question out of the loss (exercise 7.2)."""
    train: InstructTraining
    sampling: SamplingConfig
    judge: JudgeConfig
    save: bool = bookkeeping(True)
    """Keep the trained model, for task=export and task=chat, and for runs that differ only in what comes after."""

    def __post_init__(self) -> None:
        super().__post_init__()
        context, length = self.model.context_length, self.train.max_length
        if not 2 <= length <= context:
            raise ValueError(
                f"train.max_length={length}: possible: 2 to model.context_length={context}; "
                f"nearest: train.max_length={min(max(length, 2), context)}"
            )

    def inputs(self) -> dict[str, str]:
        return self.data.inputs() | self.weights.inputs()


def instruct(config: Instruct, record: "Record") -> dict[str, Any]:
    from scratchlab.data import instructions, token_counts
    from scratchlab.generation import responses
    from scratchlab.judging import scores
    from scratchlab.model import compute
    from scratchlab.training import fit, resume

    scores.check(config.judge)  # before an hour of training
    machine = compute.prepare(config.compute)
    record.device = machine.name
    update = config.train.batch_size * config.train.accumulate
    entries = {name: part[: config.few(update, len(part))] for name, part in instructions.load(config.data).items()}
    tokenizer = config.model.tokenizer
    splits = {name: instructions.Instructions(part, config.prompt, tokenizer) for name, part in entries.items()}
    record.hashes |= {f"{name}_split": data.fingerprint() for name, data in splits.items()}
    model, record.hashes["weights"] = config.build()
    machine.prepare(model)
    counted = token_counts.count_training(splits, mask=config.mask_instruction, max_length=config.train.max_length)
    counted["token_saving"] = token_counts.token_saving(config.prompt, entries["train"], splits["train"])
    before = resume.Resume(
        record,
        config.checkpoint_minutes,
        start_over=config.force,
        training=fingerprint(config, without=AFTER_TRAINING),
        files=fit.FILES,
        later={responses.ANSWERS: fingerprint(config, without=("judge",))},
    )
    trained = before.trained(model)
    if trained is None:
        trained = train(config, record, model, splits, machine, before, sample_from=entries["val"][0])
        if config.save:
            before.save(model, trained)
    autocast = machine.autocast()
    answered, measured = responses.respond(
        model, config.prompt, entries["test"], config.sampling, record, seed=config.seed, autocast=autocast
    )
    if config.judge.backend is not JudgeBackend.none:
        measured |= scores.score_and_keep(config.judge, record, answered)
    return counted | trained | measured


def train(
    config: Instruct,
    record: "Record",
    model: "Decoder",
    splits: "dict[str, Instructions]",
    machine: "Compute",
    before: "Resume",
    *,
    sample_from: "Entry",
) -> dict[str, Any]:
    """Train and measure; `train_loss` and `val_loss` are those of the last evaluation, as the book prints them."""
    from scratchlab.data import instructions
    from scratchlab.training import evaluate, fit, samples
    from scratchlab.training.steps import adamw

    settings = config.train
    loaders = instructions.loaders(
        splits, batch_size=settings.batch_size, mask=config.mask_instruction, max_length=settings.max_length
    )
    loss_of = evaluate.target_loss(model, machine)

    def mean_loss(name: str, batches: int | None = None) -> float:
        return evaluate.mean_loss(filter(instructions.has_target, loaders[name]), loss_of, batches)

    parts = fit.Parts(
        model=model,
        optimizer=adamw(model, lr=settings.lr, weight_decay=settings.weight_decay),
        loader=loaders["train"],
        loss_of=loss_of,
        losses=lambda: {f"{name}_loss": mean_loss(name, settings.eval_batches) for name in ("train", "val")},
        sample=lambda epoch: f"epoch {epoch}\n{samples.answered(model, config.prompt, sample_from)}\n\n",
        counts={"batches_without_target": lambda batch: not instructions.has_target(batch)},
        targets=lambda batch: int((batch[1] != instructions.IGNORE).sum()),
        measures_first=True,  # as in the script: its draws follow those of the model's making
        seed=config.seed,
    )
    seen = fit.fit(parts, settings, record, before, what=config.name)
    if left_out := seen.counts["batches_without_target"]:
        log.warning("%d batches had no target left and taught nothing", left_out)
    with evaluate.evaluating(model):
        test_loss = mean_loss("test")
    initial = {f"initial_{name}": loss for name, loss in seen.initial.items()}
    return initial | seen.last | {"test_loss": test_loss} | seen.metrics(model)
