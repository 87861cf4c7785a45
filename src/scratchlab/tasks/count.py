"""Count a model's parameters, by part and as far as they train, and their memory (exercises 4.1, 4.2, appendix E)."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.model.config import ModelConfig, Trainable, TuneConfig, check_has
from scratchlab.runs.config import Run
from scratchlab.runs.identity import added

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
    tune: TuneConfig = added(default_factory=TuneConfig)
    classes: int = added(0)
    """A head for so many classes takes the place of the one for tokens; 0: none."""

    def __post_init__(self) -> None:
        check_has(self.model, "qkv_bias", "this task takes chapter 4's model apart")
        if self.classes < 0:
            raise ValueError(f"classes={self.classes}: must be 0 (the head for tokens) or more")

    def idle(self) -> dict[str, str]:
        if self.tune.train_head:
            return {}
        return {"tune.train_head": "under LoRA this task counts a new head as frozen, as appendix E has it"}


def count_parameters(config: Count, record: "Record") -> dict[str, Any]:
    from scratchlab.model import families
    from scratchlab.model.parameters import count

    model = families.make_empty(config.model)

    def size(module: "nn.Module", *parts: str) -> int:
        return sum(count(module.get_submodule(part).parameters()) for part in parts)

    block = model.blocks[0]
    layers = block.get_submodule("ff.layers").children()
    bias = "without" if config.model.qkv_bias else "with"
    other = whole(families.make_empty(replace(config.model, qkv_bias=not config.model.qkv_bias)))
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
        | adapted(config)
    )


def adapted(config: Count) -> dict[str, int]:
    """Parameters that train: none is counted where nothing is adapted.

    Under LoRA a new head is frozen with all else, as in appendix E; the scripts of chapter 6 go on training it.
    """
    from scratchlab.model import families, tune
    from scratchlab.model.parameters import count

    lora = config.tune.trainable is Trainable.lora
    if not config.classes and config.tune.trainable is Trainable.all:
        return {}
    model = families.make_empty(config.model)
    if config.classes:
        tune.add_class_head(model, config.classes)
    tune.choose_trainable(model, config.tune, new_head=bool(config.classes) and not lora)
    return {"trainable_parameters": count(model.parameters(), trainable_only=True)}


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
