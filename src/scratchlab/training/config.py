"""How long and how fast to train, as a plain dataclass."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from scratchlab.runs.checks import at_least


@dataclass(kw_only=True)
class TrainConfig:
    """AdamW with a constant rate, as in the book's chapters."""

    least_epochs: ClassVar[int] = 1
    """0 where a run without training says something of the model: how it is as it comes."""

    epochs: int
    """Passes over the training split."""
    batch_size: int
    """Examples of a batch."""
    accumulate: int = 1
    """Batches behind one update."""
    lr: float
    """AdamW's rate."""
    weight_decay: float = 0.1
    """AdamW's decay."""
    eval_every: int
    """Batches between evaluations; the first is after batch 0."""
    eval_batches: int
    """Batches of each split in such an evaluation."""

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "accumulate", "eval_every", "eval_batches"):
            least = self.least_epochs if key == "epochs" else 1
            at_least(least, self, key, prefix="train.")
        if not 0 < self.lr < 1:
            raise ValueError(f"train.lr={self.lr}: must be above 0 and below 1")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"train.weight_decay={self.weight_decay}: must be at least 0 and below 1")


class Decay(Enum):
    none = "none"
    cosine = "cosine"


@dataclass(kw_only=True)
class PretrainTraining(TrainConfig):
    """The constant rate of chapter 5, or appendix D's warm-up, decay and clipping."""

    max_length: int | None = None
    """Tokens of a window; null: the model's context length."""
    stride: int | None = None
    """Tokens from the start of a window to the next; null: a window's length, so that none overlap."""
    warmup: int = 0
    """Batches in which the rate climbs from `initial_lr` to `lr`."""
    initial_lr: float = 0.0
    decay: Decay = Decay.none
    """cosine: after the warm-up the rate falls from `lr` to `min_lr`."""
    min_lr: float = 0.0
    clip_norm: float = 0.0
    """Largest norm of the gradient of all parameters together, once the warm-up is over; 0: no limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("max_length", "stride"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"train.{key}={value}: must be at least 1, or null")
        if self.warmup < 0 or self.clip_norm < 0:
            key = "warmup" if self.warmup < 0 else "clip_norm"
            raise ValueError(f"train.{key}={getattr(self, key)}: must be 0 (none) or above")
        for key, acts, needs in (
            ("initial_lr", self.warmup > 0, "train.warmup=20"),
            ("min_lr", self.decay is Decay.cosine, "train.decay=cosine"),
        ):
            value = getattr(self, key)
            if value and not acts:
                raise ValueError(
                    f"train.{key}={value}: only a run with {needs.split('=')[0]} uses it; nearest: {needs}"
                )
            if not 0 <= value <= self.lr:
                raise ValueError(f"train.{key}={value}: must be at least 0 and at most train.lr={self.lr}")

    def idle_in(self, batches: int) -> dict[str, str]:
        """What has no effect where training has that many batches, each with the reason; 0: it is not known."""
        if not 0 < batches <= self.warmup:
            return {}
        reason = f"training ends after {batches} batches, in its warm-up"
        keys = ["decay", "min_lr", "clip_norm"]
        if self.initial_lr == self.lr:
            reason += ", whose rate is the same throughout"
            keys += ["warmup", "initial_lr"]
        return {f"train.{key}": reason for key in keys}

    @property
    def scheduled(self) -> bool:
        return self.warmup > 0 or self.decay is not Decay.none
