"""Count a model's floating-point operations, and the share of a peak that a measured rate is (chapter 4, bonus)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.model.config import ModelConfig, check_has
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

PASSES = 3
"""Of a training step, in forward passes: the backward one counts twice."""


@dataclass(kw_only=True)
class Flops(Run):
    task: ClassVar[str] = "flops"

    model: ModelConfig
    batch_sizes: list[int] = field(default_factory=lambda: [2])
    """Sequences in a batch; the first is the one that single numbers are about."""
    tokens: int = 1024
    """Tokens of a sequence."""
    tokens_per_second: list[float] = field(default_factory=list)
    """Rates of training that were measured; each gives a utilization."""
    peak: float = 77.97e12
    """Operations a second that a utilization is a share of."""

    def __post_init__(self) -> None:
        check_has(self.model, "qkv_bias", "this task counts chapter 4's model")
        for key in ("batch_sizes", "tokens_per_second"):
            if not all(value > 0 for value in getattr(self, key)):
                raise ValueError(f"{key}={getattr(self, key)}: must all be above 0")
        if not self.batch_sizes:
            raise ValueError("batch_sizes=[]: needs at least one")
        if not 1 <= self.tokens <= self.model.context_length:
            raise ValueError(f"tokens={self.tokens}: possible: 1 to model.context_length={self.model.context_length}")
        if self.peak <= 0:
            raise ValueError(f"peak={self.peak}: must be above 0")


def flops(config: Flops, record: "Record") -> dict[str, Any]:
    """Two operations for each weight of a linear layer and each token; norms, activations and softmax are left out."""
    from torch import nn

    from scratchlab.model import families

    model = families.make_empty(config.model)
    weights = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    by_batch = [2 * weights * config.tokens * batch for batch in config.batch_sizes]
    # queries with keys, and attention weights with values: no weights take part, so a count by layers misses them
    attention = 2 * 2 * config.model.n_layers * config.model.emb_dim * config.tokens**2 * config.batch_sizes[0]
    whole = by_batch[0] + attention
    return {
        "flops": by_batch[0],
        "flops_rounded": two_digits(by_batch[0]),
        "flops_by_batch": by_batch,
        "flops_by_batch_rounded": [two_digits(number) for number in by_batch],
        "flops_with_attention": whole,
        "flops_with_attention_rounded": two_digits(whole),
        "attention_share": attention / whole,
        "utilization": [round(PASSES * 2 * weights * rate / config.peak, 4) for rate in config.tokens_per_second],
    }


def two_digits(number: float) -> float:
    """As the book prints operations: `5.1e+11`."""
    return float(f"{number:.1e}")
