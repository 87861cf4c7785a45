"""How long and how fast to train, as a plain dataclass."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class TrainConfig:
    """AdamW with a constant rate, as in the book's chapters."""

    epochs: int
    batch_size: int
    accumulate: int = 1
    """Batches behind one update."""
    lr: float
    weight_decay: float = 0.1
    eval_every: int
    """Batches between evaluations; the first is after batch 0."""
    eval_batches: int
    """Batches of each split in such an evaluation."""

    def __post_init__(self) -> None:
        for key in ("epochs", "batch_size", "accumulate", "eval_every", "eval_batches"):
            if getattr(self, key) < 1:
                raise ValueError(f"train.{key}={getattr(self, key)}: must be at least 1")
        if not 0 < self.lr < 1:
            raise ValueError(f"train.lr={self.lr}: must be above 0 and below 1")
        if not 0 <= self.weight_decay < 1:
            raise ValueError(f"train.weight_decay={self.weight_decay}: must be at least 0 and below 1")
