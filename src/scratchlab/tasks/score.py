"""Measure the loss of given weights on a text (exercise 5.5)."""

import logging
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.model.config import ModelConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Score(Run):
    task: ClassVar[str] = "score"

    model: ModelConfig
    weights: WeightsConfig
    data: CorpusConfig
    max_length: int = 256
    """Tokens of a window; windows do not overlap."""
    batch_size: int = 2

    def __post_init__(self) -> None:
        check_vocabulary(self.model)
        if not 1 <= self.max_length <= self.model.context_length:
            raise ValueError(
                f"max_length={self.max_length}: possible: 1 to model.context_length={self.model.context_length}"
            )
        at_least(1, self, "batch_size")
        self.weights.check(self.model)

    def inputs(self) -> dict[str, str]:
        return self.data.inputs() | self.weights.inputs()


def score(config: Score, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.data import corpus
    from scratchlab.model import compute, weights
    from scratchlab.training import evaluate

    machine = compute.prepare(config.compute)
    record.device = machine.name
    loaders = corpus.loaders(
        corpus.read(config.data),
        config.data,
        config.model.tokenizer,
        length=config.max_length,
        stride=config.max_length,
        batch_size=config.batch_size,
        few=partial(config.few, config.batch_size),
    )
    torch.manual_seed(config.seed)
    model, record.hashes["weights"] = weights.build(config.model, config.weights)
    machine.prepare(model)
    torch.manual_seed(config.seed)  # the exercise's notebook seeds again before it measures
    with evaluate.evaluating(model):
        losses = {
            name: evaluate.mean_loss(loader, evaluate.next_token_loss(model, machine))
            for name, loader in loaders.items()
        }
    return (
        {f"{name}_loss": loss for name, loss in losses.items()}
        | {f"{name}_perplexity": math.exp(loss) for name, loss in losses.items()}
        | {f"{name}_batches": len(loader) for name, loader in loaders.items()}
    )
