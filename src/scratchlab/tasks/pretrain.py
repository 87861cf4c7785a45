"""Pretrain a GPT on a text, from random weights or from a checkpoint on: chapter 5, exercise 5.4, appendix D."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource, check_vocabulary
from scratchlab.run import TrainingRun
from scratchlab.sampling_config import SamplingConfig
from scratchlab.train_config import Decay, PretrainTraining

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

    from scratchlab.data.corpus import Batch
    from scratchlab.model.compute import Compute
    from scratchlab.model.decoder import Decoder
    from scratchlab.record import Record
    from scratchlab.resume import Resume

log = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS = "checkpoint/model_and_optimizer.pth", "checkpoint/model.safetensors"
"""Where a run leaves its model, below its folder: in the book's layout, and for other programs."""


@dataclass(kw_only=True)
class Pretrain(TrainingRun):
    task: ClassVar[str] = "pretrain"

    model: ModelConfig
    weights: WeightsConfig
    data: CorpusConfig
    train: PretrainTraining
    sampling: SamplingConfig
    """How the text after each epoch is written."""
    start_context: str = "Every effort moves you"
    continue_run: str = ""
    """Start from the checkpoint that the finished run of this name (and of this seed and model) left below `out`."""
    load_optimizer: bool = False
    """Take the optimizer's state from the checkpoint too; its rate and weight decay then replace the run's."""
    save_checkpoint: bool = False
    """Leave the model and the optimizer's state at the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vocabulary(self.model)
        length = self.train.max_length
        if length is not None and length > self.model.context_length:
            raise ValueError(
                f"train.max_length={length}: beyond model.context_length={self.model.context_length}; "
                f"possible: 1 to {self.model.context_length}"
            )
        if not self.start_context:
            raise ValueError("start_context='': must hold at least one character to go on from")
        source = self.weights.source
        going_on = source is WeightSource.checkpoint or (source is WeightSource.random and self.continue_run)
        if self.load_optimizer and not going_on:
            raise ValueError(
                f"load_optimizer=true with weights={source.name}: only a checkpoint has an optimizer's "
                "state; possible: weights=checkpoint weights.path=FILE, or continue_run=ch05_main"
            )
        self.weights.check(self.model)

    @property
    def window(self) -> int:
        """Tokens of a window."""
        return self.train.max_length or self.model.context_length

    def idle(self) -> dict[str, str]:
        found = {}
        if self.load_optimizer:
            reason = "the optimizer's state in the checkpoint has its own"
            found["train.weight_decay"] = reason
            if not self.train.scheduled:
                found["train.lr"] = reason
        if self.continue_run and self.weights.source is not WeightSource.random:
            found["continue_run"] = f"weights={self.weights.source.name} says where to start"
        return found

    def inputs(self) -> dict[str, str]:
        try:
            start = starting_weights(self)
        except FileNotFoundError:  # the run itself says so
            return self.data.inputs()
        return self.data.inputs() | start.inputs()


def starting_weights(config: Pretrain) -> WeightsConfig:
    """What a run starts from: the weights it names, or the checkpoint of the run it goes on from.

    Raises:
        FileNotFoundError: there is no such run.
    """
    if not config.continue_run or config.weights.source is not WeightSource.random:
        return config.weights
    import yaml

    from scratchlab.record import CONFIG, folders, read_result
    from scratchlab.run import plain

    wanted = {"seed": config.seed, "model": plain(config.model)}
    found, tried = [], []
    for folder in folders(config.out, config.continue_run):
        then = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        result = read_result(folder)
        if result is None or result["status"] != "done":
            tried.append(f"{folder}: not done")
        elif different := [key for key, value in wanted.items() if then.get(key) != value]:
            tried.append(f"{folder}: another {' and '.join(different)}")
        elif not (folder / CHECKPOINT).is_file():
            tried.append(f"{folder}: has no {CHECKPOINT} (save_checkpoint=true leaves one)")
        else:
            found.append((result["started"], folder / CHECKPOINT))
    if not found:
        raise FileNotFoundError(
            f"continue_run={config.continue_run}: no finished run of that name, with seed={config.seed} and this "
            f"model, below out={config.out}; found\n  " + "\n  ".join(tried or ["none"]) + "\n"
            f"possible: scratchlab experiment={config.continue_run} seed={config.seed} out={config.out} first, or "
            "weights=checkpoint weights.path=FILE, the book's model_and_optimizer.pth for one"
        )
    return WeightsConfig(source=WeightSource.checkpoint, path=str(max(found)[1]))


def pretrain(config: Pretrain, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab import train
    from scratchlab.data import corpus
    from scratchlab.model import compute, weights
    from scratchlab.resume import Resume

    machine = compute.prepare(config.compute)
    record.device = machine.name
    start = starting_weights(config)
    loaders = corpus.loaders(
        corpus.read(config.data),
        config.data,
        config.model.tokenizer,
        length=config.window,
        stride=config.train.stride or config.window,
        batch_size=config.train.batch_size,
    )
    # the book seeds before the model and not again: training goes on from the state that making random weights left
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, start)
    machine.prepare(model)
    optimizer = train.adamw(model, lr=config.train.lr, weight_decay=config.train.weight_decay)
    if config.load_optimizer:
        optimizer.load_state_dict(weights.optimizer_state(Path(start.path)))
        log.info("the optimizer goes on with lr %g", optimizer.param_groups[0]["lr"])
    before = Resume(record, config.checkpoint_minutes, afresh=config.force)
    metrics = fit(config, record, model, optimizer, loaders, machine, before)
    if config.save_checkpoint:
        weights.save_state(model, record.folder / CHECKPOINT, optimizer)
        weights.save_state(model, record.folder / WEIGHTS)
    before.drop_state()
    return metrics


@dataclass
class Seen:
    """What training has come by so far; kept with its state."""

    first: dict[str, float] = field(default_factory=dict)
    """Losses of the first evaluation."""
    last: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    samples: str = ""
    seconds: float = 0.0


def fit(
    config: Pretrain,
    record: "Record",
    model: "Decoder",
    optimizer: "torch.optim.Optimizer",
    loaders: "dict[str, DataLoader[Batch]]",
    machine: "Compute",
    before: "Resume",
) -> dict[str, Any]:
    from scratchlab import evaluate, train
    from scratchlab.model.parameters import count
    from scratchlab.progress import progress

    loss_of = evaluate.next_token_loss(model, machine)

    def losses(batches: int | None) -> dict[str, float]:
        with evaluate.evaluating(model):
            return {f"{name}_loss": evaluate.mean_loss(loaders[name], loss_of, batches) for name in loaders}

    total = config.train.epochs * len(loaders["train"])
    steps = train.Steps(
        model,
        loaders["train"],
        optimizer,
        loss_of,
        epochs=config.train.epochs,
        accumulate=config.train.accumulate,
        before_update=updater(config.train, model, optimizer, total),
    )
    notes = before.go_on(steps)
    seen = Seen(**notes) if notes else Seen()
    started = time.perf_counter() - seen.seconds
    for step in progress(steps, total=total, done=steps.done, what=config.name):
        seen.tokens += config.train.batch_size * config.window
        record.history(step=step.number, batch_loss=step.loss)
        if step.number % config.train.eval_every == 0:
            found = losses(config.train.eval_batches)
            seen.first, seen.last = seen.first or found, found
            record.history(step=step.number, **found, tokens_seen=seen.tokens)
            log.info("epoch %d, step %d: train loss %.3f, val loss %.3f", step.epoch, step.number, *found.values())
        if step.ends_epoch:
            seen.samples += f"epoch {step.epoch}: {sample(config, model)}\n"
            record.write_text("samples.txt", seen.samples)
        seen.seconds = time.perf_counter() - started
        before.keep(steps, seen)
    write_curve(record)
    return (
        losses(None)
        | {f"first_{name}": value for name, value in seen.first.items()}
        | {f"last_{name}": value for name, value in seen.last.items()}
        | {
            "parameters": count(model.parameters()),
            "trainable_parameters": count(model.parameters(), trainable_only=True),
            "tokens_seen": seen.tokens,
            "train_seconds": seen.seconds,
            "tokens_per_second": seen.tokens / seen.seconds,
        }
    )


def updater(
    config: PretrainTraining, model: "Decoder", optimizer: "torch.optim.Optimizer", total: int
) -> Callable[[int], None]:
    """What happens between gradients and update: the rate of this batch, and clipping. Source: appendix D."""
    from torch.nn.utils import clip_grad_norm_

    from scratchlab.train import warmup_and_cosine

    if config.warmup >= total and config.warmup:
        raise ValueError(f"train.warmup={config.warmup}: training has only {total} batches; possible: 0 to {total - 1}")

    def before_update(step: int) -> None:
        if config.scheduled:
            rate = warmup_and_cosine(
                step,
                total=total,
                peak=config.lr,
                initial=config.initial_lr,
                minimum=config.min_lr,
                warmup=config.warmup,
                cosine=config.decay is Decay.cosine,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
        if config.clip_norm and step >= config.warmup:
            clip_grad_norm_(model.parameters(), config.clip_norm)

    return before_update


def sample(config: Pretrain, model: "Decoder") -> str:
    """The start context and what the model writes after it, on one line."""
    import torch

    from scratchlab import sampling

    ids = model.tokenizer.encode(config.start_context)
    with torch.random.fork_rng():  # how samples are drawn must not change the training
        (new,) = sampling.generate(model, [ids], config.sampling)
    return model.tokenizer.decode(ids + new).replace("\n", " ")


def write_curve(record: "Record") -> None:
    from scratchlab.record import read_history
    from scratchlab.report import plots

    plots.curves(read_history(record.folder), ("train_loss", "val_loss"), by="step", path=record.folder / "loss.png")
