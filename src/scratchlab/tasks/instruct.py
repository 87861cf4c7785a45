"""Fine-tune a GPT to follow instructions, let it answer the test split, and score the answers: chapter 7."""

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.instructions_config import InstructionsConfig
from scratchlab.judge_config import JudgeConfig
from scratchlab.model.config import GPTConfig, Trainable, TuneConfig, WeightsConfig
from scratchlab.prompts import PromptConfig
from scratchlab.run import Run
from scratchlab.sampling_config import SamplingConfig
from scratchlab.train_config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from scratchlab.data.instructions import Batch, Entry, Instructions
    from scratchlab.model.compute import Compute
    from scratchlab.model.gpt import GPT
    from scratchlab.record import Record

log = logging.getLogger(__name__)

GPT2_TOKENS = 50_257
ANSWERS, RESPONSES, SAMPLES = "responses.jsonl", "responses.json", "samples.txt"


@dataclass(kw_only=True)
class InstructTraining(TrainConfig):
    max_length: int
    """Tokens that an entry is cut to."""


@dataclass(kw_only=True)
class Instruct(Run):
    task: ClassVar[str] = "instruct"

    model: GPTConfig
    weights: WeightsConfig
    data: InstructionsConfig
    prompt: PromptConfig
    mask_instruction: bool = False
    """Leave the question out of the loss (exercise 7.2)."""
    tune: TuneConfig
    train: InstructTraining
    sampling: SamplingConfig
    judge: JudgeConfig
    save: bool = True
    """Keep the trained model, for task=export and task=chat, and to go on from if the run is stopped after training."""

    def __post_init__(self) -> None:
        context, length = self.model.context_length, self.train.max_length
        if not 2 <= length <= context:
            raise ValueError(
                f"train.max_length={length}: possible: 2 to model.context_length={context}; "
                f"nearest: train.max_length={min(max(length, 2), context)}"
            )
        if self.model.vocab_size < GPT2_TOKENS:
            raise ValueError(
                f"model.vocab_size={self.model.vocab_size}: the encoding has ids up to {GPT2_TOKENS - 1}; "
                f"nearest: model.vocab_size={GPT2_TOKENS}"
            )
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.data.inputs() | self.weights.inputs()


def instruct(config: Instruct, record: "Record") -> dict[str, Any]:
    from scratchlab import judge, resume
    from scratchlab.data import instructions
    from scratchlab.model import compute

    judge.check(config.judge)  # before an hour of training
    machine = compute.prepare(config.compute)
    record.device = machine.name
    entries = instructions.load(config.data)
    splits = {name: instructions.Instructions(part, config.prompt) for name, part in entries.items()}
    record.hashes |= {f"{name}_split": data.fingerprint() for name, data in splits.items()}
    model, record.hashes["weights"] = build(config)
    machine.prepare(model)
    counted = count(config, splits)
    trained = None if config.force else resume.take_over(record, model, (ANSWERS, SAMPLES, "loss.png"))
    if trained is None:
        trained = fit(config, record, model, splits, machine, sample_from=entries["val"][0])
        if config.save:
            resume.save(record, model, trained)
    return counted | trained | respond(config, record, model, entries["test"], machine)


def build(config: Instruct) -> tuple["GPT", str]:
    """The model of a run, its trainable parameters chosen; and the hash of its starting weights.

    Random weights are drawn even where others take their place: LoRA's matrices come after them in the script's order.
    """
    import torch

    from scratchlab.model import tune, weights
    from scratchlab.model.gpt import GPT

    torch.manual_seed(config.seed)
    model = GPT(config.model)
    weights_hash = weights.load(model, config.weights)
    tune.choose_trainable(model, config.tune, new_head=config.tune.trainable is Trainable.last_layer)
    return model, weights_hash


def count(config: Instruct, splits: "dict[str, Instructions]") -> dict[str, Any]:
    """What the training split gives to learn from.

    Raises:
        ValueError: nothing is left to learn, or to measure, in a split.
    """
    from scratchlab.data import instructions

    train, length = splits["train"], config.train.max_length
    every = {name: instructions.count(s, mask=config.mask_instruction, max_length=length) for name, s in splits.items()}
    for name, counts in every.items():
        if counts.masked == counts.targets:
            raise ValueError(
                f"mask_instruction=true train.max_length={length}: cuts every answer of the {name} split away, so that "
                f"no target is left; its longest entry has {counts.tokens_max} tokens"
            )
    counts = every["train"]
    if counts.cut:
        log.warning(
            "train.max_length=%d cuts %d of %d answers short; nothing at all is left of %d",
            *(length, counts.cut, len(train), counts.lost),
        )
    return {
        "train_entries": len(train),
        "entry_tokens_mean": counts.tokens_mean,
        "entry_tokens_max": counts.tokens_max,
        "targets": counts.targets,
        "masked_targets": counts.masked,
        "masked_share": counts.masked / counts.targets,
        "answers_cut": counts.cut,
        "answers_lost": counts.lost,
    }


def fit(
    config: Instruct,
    record: "Record",
    model: "GPT",
    splits: dict[str, "Instructions"],
    machine: "Compute",
    *,
    sample_from: "Entry",
) -> dict[str, Any]:
    """Train, evaluate in the script's rhythm, and measure.

    `train_loss` and `val_loss` are those of the last evaluation, as the book prints them; `test_loss` is the mean over
    all batches of the test split.
    """
    import torch
    from torch.nn import functional as F

    from scratchlab import evaluate, train
    from scratchlab.data import instructions
    from scratchlab.model.gpt import count
    from scratchlab.progress import progress

    def loss_of(batch: "Batch") -> "Tensor":
        ids, targets = (part.to(machine.device) for part in batch)
        wanted = targets != instructions.IGNORE
        with machine.autocast():
            logits = model(ids, wanted).float()  # of the vocabulary's 50,257 columns, only the rows that count
        if not len(logits):
            return logits.sum() * 0  # the mean over no target is NaN, and would make every weight NaN
        return F.cross_entropy(logits, targets[wanted])

    def learnable(name: str) -> "Iterator[Batch]":
        return filter(instructions.has_target, loaders[name])

    def losses(prefix: str = "") -> dict[str, float]:
        with evaluate.evaluating(model):
            return {
                f"{prefix}{name}_loss": evaluate.mean_loss(learnable(name), loss_of, config.train.eval_batches)
                for name in ("train", "val")
            }

    tokens_seen = without_target = 0

    def counted_loss(batch: "Batch") -> "Tensor":
        nonlocal tokens_seen, without_target
        tokens_seen += batch[0].numel()
        without_target += not instructions.has_target(batch)
        return loss_of(batch)

    loaders = instructions.loaders(
        splits,
        batch_size=config.train.batch_size,
        mask=config.mask_instruction,
        max_length=config.train.max_length,
    )
    metrics = losses("initial_")  # here as in the script: its draws follow those of the model's making
    log.info("before training: train loss %.3f, val loss %.3f", *metrics.values())
    torch.manual_seed(config.seed)
    optimizer = train.adamw(model, lr=config.train.lr, weight_decay=config.train.weight_decay)
    epochs, started = config.train.epochs, time.perf_counter()
    steps = train.steps(
        model, loaders["train"], optimizer, counted_loss, epochs=epochs, accumulate=config.train.accumulate
    )
    for step in progress(steps, total=epochs * len(loaders["train"]), what=config.name):
        record.history(step=step.number, batch_loss=step.loss)
        if step.number % config.train.eval_every == 0:
            found = losses()
            metrics |= found
            record.history(step=step.number, **found)
            log.info("epoch %d, step %d: train loss %.3f, val loss %.3f", step.epoch, step.number, *found.values())
        if step.ends_epoch:
            write_sample(config, record, model, sample_from, step.epoch)
    seconds = time.perf_counter() - started
    if without_target:
        log.warning("%d batches had no target left and taught nothing", without_target)
    write_curves(record)
    with evaluate.evaluating(model):
        metrics["test_loss"] = evaluate.mean_loss(learnable("test"), loss_of)
    return metrics | {
        "trainable_parameters": count(model.parameters(), trainable_only=True),
        "parameters": count(model.parameters()),
        "batches_without_target": without_target,
        "tokens_seen": tokens_seen,
        "train_seconds": seconds,
        "tokens_per_second": tokens_seen / seconds,
    }


def write_sample(config: Instruct, record: "Record", model: "GPT", entry: "Entry", epoch: int) -> None:
    """Append what the model says to the first validation entry, as the book prints after every epoch."""
    from scratchlab import sampling
    from scratchlab.prompts import render
    from scratchlab.text import END_OF_TEXT, encoding

    question, _ = render(config.prompt, entry)
    ids = encoding().encode(question, disallowed_special=())
    [new] = sampling.generate(model, [ids], SamplingConfig(max_new_tokens=50), end_token=END_OF_TEXT)
    with (record.folder / SAMPLES).open("a", encoding="utf-8") as file:
        file.write(f"epoch {epoch}\n{question}{encoding().decode(new)}\n\n")


def write_curves(record: "Record") -> None:
    from scratchlab.record import read_history
    from scratchlab.report import plots

    plots.curves(read_history(record.folder), ("train_loss", "val_loss"), by="step", path=record.folder / "loss.png")


def respond(
    config: Instruct, record: "Record", model: "GPT", entries: "list[Entry]", machine: "Compute"
) -> dict[str, Any]:
    """Answer the test split, write the answers in the book's layout, and score them."""
    from scratchlab import responses
    from scratchlab.judge_config import JudgeBackend
    from scratchlab.overlap import overlap
    from scratchlab.tasks.judge import judged

    started = time.perf_counter()
    answers = responses.answer(
        model,
        config.prompt,
        entries,
        config.sampling,
        record.folder / ANSWERS,
        seed=config.seed,
        autocast=machine.autocast(),
    )
    seconds = time.perf_counter() - started
    answered = responses.with_responses(config.prompt, entries, answers)
    record.write_text(RESPONSES, json.dumps(answered, indent=4, ensure_ascii=False) + "\n")
    metrics: dict[str, Any] = {"answers": len(answers), "first_answer_ids": answers[0], "answer_seconds": seconds}
    metrics |= overlap([entry["model_response"] for entry in answered], [entry["output"] for entry in answered])
    if config.judge.backend is not JudgeBackend.none:
        metrics |= judged(config.judge, record, answered)
    return metrics
