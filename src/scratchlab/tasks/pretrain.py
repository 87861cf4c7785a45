"""Pretrain a model on a text, from random weights or from a checkpoint on: chapter 5, exercise 5.4, appendix D."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.generation.config import SamplingConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, WeightSource, check_vocabulary
from scratchlab.runs.config import TrainingRun
from scratchlab.training.config import PretrainTraining

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Pretrain(TrainingRun):
    task: ClassVar[str] = "pretrain"
    goes_on_from: ClassVar[str] = "continue_run"

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
        if (length := self.train.max_length or 0) > self.model.context_length:
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

    def idle_with_data(self) -> dict[str, str]:
        from scratchlab.data.batches import of_an_epoch

        epoch = (self.data, self.model.tokenizer, self.window, self.train.stride, self.train.batch_size)
        return self.train.idle_in(self.train.warmup and self.train.epochs * of_an_epoch(*epoch))

    def start(self) -> WeightsConfig:
        """What the run starts from: the weights it names, or the checkpoint of the run it goes on from.

        Raises:
            FileNotFoundError: there is no such run.
        """
        if not self.continue_run or self.weights.source is not WeightSource.random:
            return self.weights
        from scratchlab.training.continued import checkpoint_of

        path = checkpoint_of(self.continue_run, out=self.out, seed=self.seed, model=self.model)
        return WeightsConfig(source=WeightSource.checkpoint, path=str(path))

    def inputs(self) -> dict[str, str]:
        try:
            start = self.start()
        except FileNotFoundError:  # the run itself says so
            return self.data.inputs()
        return self.data.inputs() | start.inputs()


def pretrain(config: Pretrain, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.data import corpus
    from scratchlab.model import compute, weights
    from scratchlab.training import continued, evaluate, fit, samples, schedule, steps
    from scratchlab.training.resume import Resume

    machine = compute.prepare(config.compute)
    record.device = machine.name
    start = config.start()
    if start is not config.weights:
        record.hashes[config.goes_on_from] = continued.run_of(Path(start.path))
    loaders = corpus.loaders(
        corpus.read(config.data),
        config.data,
        config.model.tokenizer,
        length=config.window,
        stride=config.train.stride or config.window,
        batch_size=config.train.batch_size,
        few=lambda there: config.few(config.train.batch_size * config.train.accumulate, there),
    )
    # the book seeds before the model and not again: training goes on from the state that making random weights left
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, start)
    machine.prepare(model)
    state = weights.optimizer_state(Path(start.path)) if config.load_optimizer else None
    optimizer = steps.adamw(model, lr=config.train.lr, weight_decay=config.train.weight_decay, state=state)
    loss_of = evaluate.next_token_loss(model, machine)

    def losses(batches: int | None) -> dict[str, float]:
        return {f"{name}_loss": evaluate.mean_loss(loaders[name], loss_of, batches) for name in loaders}

    parts = fit.Parts(
        model=model,
        optimizer=optimizer,
        loader=loaders["train"],
        loss_of=loss_of,
        losses=lambda: losses(config.train.eval_batches),
        sample=lambda epoch: f"epoch {epoch}: {samples.continued(model, config.start_context, config.sampling)}\n",
        before_update=schedule.updater(config.train, model, optimizer, len(loaders["train"])),
        tokens_in_history=True,
    )
    before = Resume(record, config.checkpoint_minutes, start_over=config.force)
    seen = fit.fit(parts, config.train, record, before, what=config.name)
    with evaluate.evaluating(model):
        metrics = losses(None)
    ends = {"first": seen.first, "last": seen.last}
    metrics |= {f"{end}_{name}": value for end, found in ends.items() for name, value in found.items()}
    if config.save_checkpoint:
        continued.leave(model, optimizer, record.folder)
    return metrics | seen.metrics(model)
