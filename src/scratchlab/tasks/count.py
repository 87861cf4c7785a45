"""Count a GPT's parameters, part by part, and the memory they take (exercises 4.1 and 4.2)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.model.config import GPTConfig
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.model.gpt import GPT
    from scratchlab.record import Record

BYTES = 4
"""Of one parameter in float32."""


@dataclass(kw_only=True)
class Count(Run):
    task: ClassVar[str] = "count"

    model: GPTConfig


def count_parameters(config: Count, record: "Record") -> dict[str, Any]:
    from scratchlab.model.gpt import count

    model = built(config.model)
    block = model.blocks[0]
    attention, feed_forward = block.att.named_children(), block.ff.layers.named_children()
    bias = "without" if config.model.qkv_bias else "with"
    other = whole(built(replace(config.model, qkv_bias=not config.model.qkv_bias)))
    return (
        whole(model)
        | {
            "block_parameters": count(block.parameters()),
            "attention_parameters": count(block.att.parameters()),
            "attention_by_layer": {name: count(layer.parameters()) for name, layer in attention},
            "feed_forward_parameters": count(block.ff.parameters()),
            "feed_forward_by_layer": [n for _, layer in feed_forward if (n := count(layer.parameters()))],
            "norm_parameters": count([*block.norm1.parameters(), *block.norm2.parameters()]),
            "token_embedding_parameters": count(model.tok_emb.parameters()),
            "position_embedding_parameters": count(model.pos_emb.parameters()),
            "final_norm_parameters": count(model.final_norm.parameters()),
            "head_parameters": count(model.out_head.parameters()),
        }
        | {f"{name}_{bias}_qkv_bias": value for name, value in other.items()}
    )


def built(config: GPTConfig) -> "GPT":
    """The model on torch's meta device, where parameters have a shape and take no memory."""
    import torch

    from scratchlab.model.gpt import GPT

    with torch.device("meta"):
        return GPT(config)


def whole(model: "GPT") -> dict[str, Any]:
    """Counts with the head counted apart and with the head tied to the token embedding; memory of the former, in MiB.

    Source: chapter 4, section 4.6, which calls 1024 * 1024 bytes a megabyte.
    """
    from scratchlab.model.gpt import count

    total = count(model.parameters())
    return {
        "parameters": total,
        "tied_parameters": total - count(model.out_head.parameters()),
        "megabytes": round(total * BYTES / 1024**2, 2),
    }
