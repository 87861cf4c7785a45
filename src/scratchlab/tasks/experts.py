"""Count the parameters of a mixture of experts, and how many of them one token uses (chapter 4, bonus)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Experts(Run):
    task: ClassVar[str] = "experts"

    emb_dim: int = 7168
    hidden_dim: int = 14336
    """Width between the layers of the dense feed-forward."""
    experts: int = 8
    """Feed-forward modules in the place of one; together as wide as the dense one."""
    active: int = 2
    """Experts that the router chooses for a token."""
    gated: bool = True
    """Three layers, as in SwiGLU, instead of two."""
    bytes_each: int = 2
    """Of one parameter; 2 in bfloat16."""

    def __post_init__(self) -> None:
        at_least(1, self, "emb_dim", "hidden_dim", "experts", "active", "bytes_each")
        if self.active > self.experts:
            raise ValueError(f"active={self.active}: possible: 1 to experts={self.experts}")
        if self.hidden_dim % self.experts:
            raise ValueError(f"experts={self.experts}: must divide hidden_dim={self.hidden_dim}")


def count_experts(config: Experts, record: "Record") -> dict[str, Any]:
    """Parameters of one block's feed-forward, without biases; gigabytes with two decimals."""
    layers = 3 if config.gated else 2
    width = config.hidden_dim // config.experts
    expert = layers * config.emb_dim * width
    router = config.emb_dim * config.experts
    sizes = {
        "dense": layers * config.emb_dim * config.hidden_dim,
        "expert": expert,
        "router": router,
        "mixture": config.experts * expert + router,
        "active": config.active * expert + router,
    }
    return {
        "expert_width": width,
        **{f"{part}_parameters": number for part, number in sizes.items()},
        **{f"{part}_gigabytes": round(number * config.bytes_each / 1e9, 2) for part, number in sizes.items()},
    }
