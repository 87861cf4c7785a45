"""Compute what keys and values take while a text is written, by kind of attention (chapter 4, bonus)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class KVCache(Run):
    task: ClassVar[str] = "kv_cache"

    emb_dim: int = 4096
    n_heads: int = 32
    n_layers: int = 32
    tokens: int = 32768
    """Tokens of a sequence, all of them kept."""
    batch_size: int = 1
    bytes_each: int = 2
    """Of one number; 2 in bfloat16."""
    heads_per_group: int = 4
    """Grouped-query attention: heads of queries that share one head of keys and values."""
    latent_dim: int = 0
    """Latent attention: numbers that are kept of a token instead of keys and values; 0: none."""
    window: int = 0
    """Sliding windows: tokens that a layer with one keeps; 0: no layer has one."""
    window_layers_each: int = 5
    """Sliding windows: layers with a window to each layer without."""

    def __post_init__(self) -> None:
        at_least(1, self, "emb_dim", "n_heads", "n_layers", "tokens", "batch_size", "bytes_each", "heads_per_group")
        at_least(1, self, "window_layers_each")
        for key in ("latent_dim", "window"):
            if getattr(self, key) < 0:
                raise ValueError(f"{key}={getattr(self, key)}: must be 0 (none) or above")
        if self.n_heads % self.heads_per_group:
            divisors = [n for n in range(1, self.n_heads + 1) if self.n_heads % n == 0]
            raise ValueError(
                f"heads_per_group={self.heads_per_group}: does not divide n_heads={self.n_heads}; "
                f"possible: {', '.join(map(str, divisors))}"
            )

    def idle(self) -> dict[str, str]:
        idle = not self.window and self.window_layers_each != type(self).window_layers_each
        return {"window_layers_each": "no layer has a window"} if idle else {}


def kv_cache(config: KVCache, record: "Record") -> dict[str, Any]:
    """Gigabytes (10 ** 9 bytes) of all layers together, two decimals, as the book's estimators print them.

    Heads whose width is no whole number are rounded up, as there.
    """
    head_dim = -(-config.emb_dim // config.n_heads)
    groups = config.n_heads // config.heads_per_group
    token = config.batch_size * config.bytes_each
    layer = {
        name: token * config.tokens * 2 * heads * head_dim for name, heads in (("mha", config.n_heads), ("gqa", groups))
    }
    whole: dict[str, float] = {name: config.n_layers * size for name, size in layer.items()}
    found: dict[str, Any] = {"head_dim": head_dim, "kv_heads": groups}
    if config.latent_dim:
        whole["mla"] = config.n_layers * token * config.tokens * config.latent_dim
    if config.window:
        each = config.window_layers_each
        sliding = round(config.n_layers * each / (each + 1))
        found |= {"window_layers": sliding, "full_layers": config.n_layers - sliding}
        kept = min(config.window, config.tokens) / config.tokens
        for name, size in layer.items():
            whole[f"{name}_window"] = size * (config.n_layers - sliding + sliding * kept)
    return (
        found
        | {f"{name}_gigabytes": round(size / 1e9, 2) for name, size in whole.items()}
        | {f"{name}_ratio": round(whole["mha"] / whole[name], 2) for name in ("gqa", "mla") if name in whole}
        | {f"{name}_saving": round(1 - whole[name] / whole["mha"], 4) for name in ("gqa", "mla") if name in whole}
    )
