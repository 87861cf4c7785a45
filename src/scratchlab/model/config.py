"""What a model is made of, as plain dataclasses: no torch here, so that `--help` and lists stay quick."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from scratchlab.model.shapes import SIZES as SIZES  # offered here too, as are the others
from scratchlab.model.shapes import DecoderConfig as DecoderConfig
from scratchlab.model.shapes import GPTConfig as GPTConfig
from scratchlab.model.shapes import ModelConfig as ModelConfig
from scratchlab.model.shapes import check_has as check_has
from scratchlab.model.shapes import check_smollm2, published_size
from scratchlab.model.shapes import check_vocabulary as check_vocabulary
from scratchlab.runs.identity import added


class WeightSource(Enum):
    random = "random"
    openai = "openai"
    huggingface = "huggingface"
    checkpoint = "checkpoint"
    smollm2 = "smollm2"


@dataclass(kw_only=True)
class WeightsConfig:
    """Where the starting weights come from."""

    source: WeightSource = WeightSource.random
    path: str = ""
    """`checkpoint`: the file (.pth or .safetensors) to load; the other sources find their own files."""

    def __post_init__(self) -> None:
        if self.source is WeightSource.checkpoint and not self.path:
            raise ValueError("weights=checkpoint needs weights.path=FILE (.pth or .safetensors)")
        if self.path and self.source is not WeightSource.checkpoint:
            raise ValueError(
                f"weights.path={self.path}: only weights=checkpoint reads it, and the source is "
                f"{self.source.name}; nearest: weights=checkpoint weights.path={self.path}"
            )

    def check(self, model: ModelConfig) -> None:
        """Raise ValueError if there can be no such weights for `model`, FileNotFoundError if `path` is no file."""
        if self.source in (WeightSource.openai, WeightSource.huggingface):
            published_size(model)
        if self.source is WeightSource.smollm2:
            check_smollm2(model)
        if self.path and not Path(self.path).is_file():
            raise FileNotFoundError(f"weights.path={self.path}: no such file")

    def inputs(self) -> dict[str, str]:
        """The hash of a file named by `path`; published weights are pinned by their own hashes."""
        from scratchlab.assets.fetch import sha256

        return {"weights": sha256(Path(self.path))} if self.path else {}


class Trainable(Enum):
    all = "all"
    last_layer = "last_layer"
    last_block = "last_block"
    last_two_blocks = "last_two_blocks"
    lora = "lora"


LAST_BLOCKS = {Trainable.last_block: 1, Trainable.last_two_blocks: 2}
"""How many of the last blocks train, with the norm after them, under the choices that name blocks."""


class LoRAScaling(Enum):
    """What multiplies A @ B: alpha itself in the book's scripts; alpha / rank in the literature, today's appendix E."""

    alpha = "alpha"
    alpha_over_rank = "alpha_over_rank"


@dataclass(kw_only=True)
class TuneConfig:
    """Which parameters training may change."""

    trainable: Trainable = Trainable.all
    lora_rank: int = 0
    """lora: columns of A and rows of B, whose product is the update."""
    lora_alpha: float = 0.0
    """lora: what the update is multiplied by; see `lora_scaling`."""
    lora_scaling: LoRAScaling = LoRAScaling.alpha
    """lora: multiply by `lora_alpha` itself, as the book's scripts do, or by it over the rank, as in the literature."""
    train_head: bool = added(True)
    """lora: a new head's own weights train too, as in chapter 6's scripts; false: its A and B alone (appendix E)."""

    def __post_init__(self) -> None:
        lora = self.trainable is Trainable.lora
        if lora and (self.lora_rank < 1 or self.lora_alpha <= 0):
            raise ValueError(
                f"tune=lora with tune.lora_rank={self.lora_rank} tune.lora_alpha={self.lora_alpha}: "
                "both must be above 0"
            )
        if not lora:
            for key, neutral in (
                ("lora_rank", 0),
                ("lora_alpha", 0.0),
                ("lora_scaling", LoRAScaling.alpha),
                ("train_head", True),
            ):
                if getattr(self, key) != neutral:
                    value = getattr(self, key)
                    shown = value.name if isinstance(value, Enum) else value
                    raise ValueError(
                        f"tune.{key}={shown}: only tune=lora uses it, and this run has "
                        f"tune={self.trainable.name}; nearest: tune=lora tune.{key}={shown}"
                    )


class Position(Enum):
    """Where the class logits are read; `last_real` is the last token that is no padding, `mean` averages all."""

    first = "first"
    last = "last"
    last_real = "last_real"
    mean = "mean"
