"""What every run that fine-tunes has: a model, its starting weights, and what of it may train."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scratchlab.model.config import LAST_BLOCKS, ModelConfig, Trainable, TuneConfig, WeightsConfig, check_vocabulary
from scratchlab.runs.config import TrainingRun

if TYPE_CHECKING:
    from scratchlab.model.decoder import Decoder


@dataclass(kw_only=True)
class FineTuning(TrainingRun):
    """The root of the configurations of chapters 6 and 7."""

    model: ModelConfig
    weights: WeightsConfig
    tune: TuneConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        check_vocabulary(self.model)
        blocks = LAST_BLOCKS.get(self.tune.trainable, 0)
        if blocks > self.model.n_layers:
            raise ValueError(
                f"tune={self.tune.trainable.name}: trains {blocks} blocks, but model.n_layers={self.model.n_layers}; "
                "possible: tune=last_block, tune=all"
            )
        self.weights.check(self.model)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels 0, 1, ... are called, where the model gets a head for them; without any it writes."""
        return ()

    def build(self) -> tuple["Decoder", str]:
        """The model, its trainable parameters chosen; and the hash of its starting weights."""
        from scratchlab.model import finetuned

        if classes := len(self.classes):
            return finetuned.classifier(self.model, self.weights, self.tune, classes=classes, seed=self.seed)
        return finetuned.writer(self.model, self.weights, self.tune, seed=self.seed)

    def empty(self, classes: int) -> "Decoder":
        """The same model on the meta device, without values: nothing is drawn, and loading uses memory once.

        `classes`: of its head; 0: it goes on writing.
        """
        import torch

        from scratchlab.model import families, tune

        with torch.device("meta"):
            model = families.make(self.model)
            if classes:
                tune.add_class_head(model, classes)
            if self.tune.trainable is Trainable.lora:
                tune.add_lora(model, self.tune)
        return model
