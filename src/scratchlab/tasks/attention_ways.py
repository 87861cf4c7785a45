"""Hold ways to compute the same attention against each other, in outputs and in time (chapter 3, bonus)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from torch import Tensor

    from scratchlab.model.attention import MultiHeadAttention
    from scratchlab.runs.record import Record

TOLERANCE = 1e-5
"""Largest difference between outputs that count as equal in float32."""


@dataclass(kw_only=True)
class AttentionWays(Run):
    task: ClassVar[str] = "attention_ways"

    batch_size: int = 8
    tokens: int = 1024
    emb_dim: int = 768
    num_heads: int = 12
    repeats: int = 2
    """How often each way is timed; the least time counts."""

    def __post_init__(self) -> None:
        at_least(1, self, "batch_size", "tokens", "emb_dim", "num_heads", "repeats")
        if self.emb_dim % self.num_heads:
            divisors = [n for n in range(1, 65) if self.emb_dim % n == 0]
            raise ValueError(
                f"num_heads={self.num_heads}: does not divide emb_dim={self.emb_dim}; "
                f"possible: {', '.join(map(str, divisors))}"
            )


def attention_ways(config: AttentionWays, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute
    from scratchlab.model.attention import MultiHeadAttention

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    module = MultiHeadAttention(config.emb_dim, config.emb_dim, config.num_heads)
    x = torch.randn(config.batch_size, config.tokens, config.emb_dim).to(machine.device)
    machine.prepare(module)
    outputs, seconds = {}, {}
    with torch.inference_mode():
        for name, way in ways(module).items():
            outputs[name] = way(x)
            seconds[name] = min(timed(way, x) for _ in range(config.repeats))
    first = outputs["by_hand"]
    largest = max((out - first).abs().max().item() for out in outputs.values())
    return {
        "ways_equal": largest <= TOLERANCE,
        "largest_difference": largest,
        "output_shape": list(first.shape),
        "way_seconds": seconds,
        # an order, which may hold on any machine; the times themselves belong to this one
        "first_is_slower": seconds["by_hand"] > seconds["fused"],
    }


def timed(way: "Callable[[Tensor], Tensor]", x: "Tensor") -> float:
    from torch import cuda

    started = time.perf_counter()
    way(x)
    if x.is_cuda:
        cuda.synchronize()
    return time.perf_counter() - started


def ways(module: "MultiHeadAttention") -> "dict[str, Callable[[Tensor], Tensor]]":
    """The same weights in four ways: products written out, einsum, torch's fused kernel, torch's own module.

    Each maps (B, T, d_in) to (B, T, d_out).
    """
    import torch
    from torch import nn

    layers = (module.W_query, module.W_key, module.W_value)
    heads, width = module.num_heads, module.out_proj.in_features
    theirs = nn.MultiheadAttention(width, heads, batch_first=True).to(module.out_proj.weight.device)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(module.out_proj.state_dict())

    def later(x: "Tensor") -> "Tensor":
        return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)

    def split(x: "Tensor") -> "list[Tensor]":
        return [layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in layers]  # (B, H, T, D) each

    def by_hand(x: "Tensor") -> "Tensor":
        query, key, value = split(x)
        scores = query @ key.transpose(2, 3) / key.shape[-1] ** 0.5
        weights = scores.masked_fill(later(x), float("-inf")).softmax(dim=-1)
        return module.out_proj((weights @ value).transpose(1, 2).flatten(2))

    def einsum(x: "Tensor") -> "Tensor":
        query, key, value = split(x)
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / key.shape[-1] ** 0.5
        weights = scores.masked_fill(later(x), float("-inf")).softmax(dim=-1)
        return module.out_proj(torch.einsum("bhqk,bhkd->bqhd", weights, value).flatten(2))

    def own_module(x: "Tensor") -> "Tensor":
        found: Tensor = theirs(x, x, x, attn_mask=later(x), need_weights=False)[0]
        return found

    return {"by_hand": by_hand, "einsum": einsum, "fused": module, "own_module": own_module}
