"""Count a model's parameters, part by part, and the memory they take (exercises 4.1 and 4.2)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.model.config import ModelConfig, check_has
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from torch import nn

    from scratchlab.model.decoder import Decoder
    from scratchlab.runs.record import Record

BYTES = 4
"""Of one parameter in float32."""


@dataclass(kw_only=True)
class Count(Run):
    task: ClassVar[str] = "count"

    model: ModelConfig

    def __post_init__(self) -> None:
        check_has(self.model, "qkv_bias", "this task takes chapter 4's model apart")


def count_parameters(config: Count, record: "Record") -> dict[str, Any]:
    from scratchlab.model.parameters import count

    model = built(config.model)

    def size(module: "nn.Module", *parts: str) -> int:
        return sum(count(module.get_submodule(part).parameters()) for part in parts)

    block = model.blocks[0]
    layers = block.get_submodule("ff.layers").children()
    bias = "without" if config.model.qkv_bias else "with"
    other = whole(built(replace(config.model, qkv_bias=not config.model.qkv_bias)))
    return (
        whole(model)
        | {
            "block_parameters": count(block.parameters()),
            "attention_parameters": size(block, "att"),
            "attention_by_layer": {
                name: count(layer.parameters()) for name, layer in block.get_submodule("att").named_children()
            },
            "feed_forward_parameters": size(block, "ff"),
            "feed_forward_by_layer": [n for layer in layers if (n := count(layer.parameters()))],
            "norm_parameters": size(block, "norm1", "norm2"),
            "token_embedding_parameters": size(model, "tok_emb"),
            "position_embedding_parameters": size(model, "pos_emb"),
            "final_norm_parameters": size(model, "final_norm"),
            "head_parameters": size(model, "out_head"),
        }
        | {f"{name}_{bias}_qkv_bias": value for name, value in other.items()}
    )


def built(config: ModelConfig) -> "Decoder":
    """The model on torch's meta device, where parameters have a shape and take no memory."""
    import torch

    from scratchlab.model import families

    with torch.device("meta"):
        return families.make(config)


def whole(model: "Decoder") -> dict[str, Any]:
    """Counts with the head counted apart and with the head tied to the token embedding; memory of the former, in MiB.

    Source: chapter 4, section 4.6, which calls 1024 * 1024 bytes a megabyte.
    """
    from scratchlab.model.parameters import count

    total = count(model.parameters())
    return {
        "parameters": total,
        "tied_parameters": total - count(model.get_submodule("out_head").parameters()),
        "megabytes": round(total * BYTES / 1024**2, 2),
    }
