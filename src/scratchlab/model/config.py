"""What a model is made of, as plain dataclasses: no torch here, so that `--help` and lists stay quick."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from scratchlab.text.tokenizer import Tokenizer


class DecoderConfig(Protocol):
    """What may be asked of the configuration of any family."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def context_length(self) -> int: ...
    @property
    def emb_dim(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def causal(self) -> bool: ...
    @property
    def tokenizer(self) -> "Tokenizer": ...


@dataclass(kw_only=True)
class GPTConfig:
    """The shape of a GPT. Source: chapter 4's `GPT_CONFIG_124M`; dropout in three parts as in exercise 4.3."""

    vocab_size: int = 50257
    """Tokens that can be read and written."""
    context_length: int = 1024
    """Most tokens the model can see at once."""
    emb_dim: int = 768
    """Width of what flows between the blocks; a multiple of `n_heads`."""
    n_heads: int = 12
    """Attention heads of a block."""
    n_layers: int = 12
    """Transformer blocks."""
    qkv_bias: bool = False
    """Biases of the query, key and value layers; GPT-2's published weights have them."""
    causal: bool = True
    """False lets every token attend to every other (row 17 of the classification table)."""
    drop_rate_emb: float = 0.0
    """Dropout of the sum of token and position embeddings."""
    drop_rate_shortcut: float = 0.0
    """Dropout of what is added to a shortcut, twice a block."""
    drop_rate_attn: float = 0.0
    """Dropout of attention weights."""

    def __post_init__(self) -> None:
        for key in ("vocab_size", "context_length", "emb_dim", "n_heads", "n_layers"):
            if getattr(self, key) < 1:
                raise ValueError(f"model.{key}={getattr(self, key)}: must be at least 1")
        if self.emb_dim % self.n_heads:
            divisors = [n for n in range(1, 65) if self.emb_dim % n == 0]
            near = min(divisors, key=lambda n: abs(n - self.n_heads))
            raise ValueError(
                f"model.n_heads={self.n_heads}: does not divide model.emb_dim={self.emb_dim}; "
                f"possible: {', '.join(map(str, divisors))}; nearest: {near}"
            )
        for key in ("drop_rate_emb", "drop_rate_shortcut", "drop_rate_attn"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"model.{key}={getattr(self, key)}: must be at least 0 and below 1")

    @property
    def tokenizer(self) -> "Tokenizer":
        from scratchlab.text.tokenizer import gpt2

        return gpt2()


ModelConfig = GPTConfig
"""What `model=...` may be; the book has one family."""


def check_vocabulary(model: DecoderConfig) -> None:
    """Raise ValueError if `model` cannot read and write text: its vocabulary must be its tokenizer's, to the token."""
    tokenizer = model.tokenizer
    if model.vocab_size != tokenizer.vocab_size:
        raise ValueError(
            f"model.vocab_size={model.vocab_size}: text is encoded with {tokenizer.name}'s {tokenizer.vocab_size} "
            f"tokens; possible: model.vocab_size={tokenizer.vocab_size}"
        )


SIZES = {
    "124M": {"emb_dim": 768, "n_layers": 12, "n_heads": 12},
    "355M": {"emb_dim": 1024, "n_layers": 24, "n_heads": 16},
    "774M": {"emb_dim": 1280, "n_layers": 36, "n_heads": 20},
    "1558M": {"emb_dim": 1600, "n_layers": 48, "n_heads": 25},
}
"""The four published GPT-2 models, all with 50,257 tokens, 1,024 positions and query, key and value biases."""


class WeightSource(Enum):
    random = "random"
    openai = "openai"
    huggingface = "huggingface"
    checkpoint = "checkpoint"


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

    def check(self, model: "GPTConfig") -> None:
        """Raise ValueError if there can be no such weights for `model`, FileNotFoundError if `path` is no file."""
        if self.source in (WeightSource.openai, WeightSource.huggingface):
            published_size(model)
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


def published_size(model: GPTConfig) -> str:
    """The published GPT-2 (a key of `SIZES`) that has the shape of `model`.

    Raises:
        ValueError: none has.
    """
    if (model.vocab_size, model.context_length, model.qkv_bias) == (50257, 1024, True):
        for size, shape in SIZES.items():
            if all(getattr(model, key) == value for key, value in shape.items()):
                return size
    sizes = "; ".join(
        f"{size}: " + " ".join(f"model.{k}={v}" for k, v in shape.items()) for size, shape in SIZES.items()
    )
    raise ValueError(
        f"no published GPT-2 weights have the shape model.emb_dim={model.emb_dim} model.n_layers={model.n_layers} "
        f"model.n_heads={model.n_heads} model.vocab_size={model.vocab_size} "
        f"model.context_length={model.context_length} "
        f"model.qkv_bias={str(model.qkv_bias).lower()}; possible: {sizes}; all with model.vocab_size=50257 "
        "model.context_length=1024 model.qkv_bias=true; or weights=random"
    )
