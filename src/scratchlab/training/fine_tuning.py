"""What every run that fine-tunes has: a model, its starting weights, and what of it may train."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scratchlab.model.config import GPTConfig, Trainable, TuneConfig, WeightsConfig
from scratchlab.runs.config import TrainingRun

if TYPE_CHECKING:
    from scratchlab.model.gpt import GPT


@dataclass(kw_only=True)
class FineTuning(TrainingRun):
    """The root of the configurations of chapters 6 and 7."""

    classes: ClassVar[tuple[str, ...]] = ()
    """What the labels 0, 1, ... are called, where the model gets a head for classes; without any it goes on writing."""

    model: GPTConfig
    weights: WeightsConfig
    tune: TuneConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tune.trainable is Trainable.last_two_blocks and self.model.n_layers < 2:
            raise ValueError(
                f"tune=last_two_blocks: model.n_layers={self.model.n_layers}; possible: tune=last_block, tune=all"
            )
        self.weights.check(self.model)

    def build(self) -> tuple["GPT", str]:
        """The model, its trainable parameters chosen; and the hash of its starting weights."""
        from scratchlab.model import finetuned

        if self.classes:
            return finetuned.classifier(self.model, self.weights, self.tune, classes=len(self.classes), seed=self.seed)
        return finetuned.writer(self.model, self.weights, self.tune, seed=self.seed)

    def empty(self) -> "GPT":
        """The same model on the meta device, without values: nothing is drawn, and loading uses memory once."""
        import torch

        from scratchlab.model import tune
        from scratchlab.model.gpt import GPT

        with torch.device("meta"):
            model = GPT(self.model)
            if self.classes:
                tune.add_class_head(model, len(self.classes))
            if self.tune.trainable is Trainable.lora:
                tune.add_lora(model, self.tune)
        return model
