"""The shape of a model, whatever its family, and the published shapes: no torch here, so that help stays quick."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from scratchlab.runs.checks import at_least
from scratchlab.runs.identity import added

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
        at_least(1, self, "vocab_size", "context_length", "emb_dim", "n_heads", "n_layers", prefix="model.")
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


class Family(Enum):
    gpt = "gpt"
    llama = "llama"


@dataclass(kw_only=True)
class ModelConfig(GPTConfig):
    """What `model=...` may be: the book's GPT, or a Llama, which has keys of its own and lacks some of GPT's."""

    family: Family = added(Family.gpt)
    """gpt: the book's model. llama: RMS norm, rotary positions, SwiGLU, and a head that is the token embedding."""
    n_kv_heads: int = added(0)
    """llama: heads of keys and values; each serves as many of the `n_heads` of queries."""
    ff_dim: int = added(0)
    """llama: width between the layers of the feed-forward."""
    rope_theta: float = added(0.0)
    """llama: base of the angles by which positions turn queries and keys."""
    norm_eps: float = added(0.0)
    """llama: what keeps the norm from dividing by zero."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in self.lacks:
            value, neutral = getattr(self, key), type(getattr(self, key))()
            if value != neutral:
                shown = str(value).lower() if isinstance(value, bool) else value
                hint = ", dropout=none" if key.startswith("drop_rate") else ""
                raise ValueError(
                    f"model.{key}={shown}: model.family={self.family.name} has no such thing; "
                    f"possible: model.{key}={str(neutral).lower()}{hint}"
                )
        if self.family is Family.llama:
            self._check_llama()

    def _check_llama(self) -> None:
        for key in _LLAMA_ONLY:
            if getattr(self, key) <= 0:
                raise ValueError(
                    f"model.{key}={getattr(self, key)}: model.family=llama needs it above 0; nearest: "
                    f"model=smollm2_135m, with model.{key}={SMOLLM2[key]}"
                )
        if self.n_heads % self.n_kv_heads:
            divisors = [n for n in range(1, self.n_heads + 1) if self.n_heads % n == 0]
            raise ValueError(
                f"model.n_kv_heads={self.n_kv_heads}: does not divide model.n_heads={self.n_heads}; "
                f"possible: {', '.join(map(str, divisors))}"
            )
        if self.emb_dim // self.n_heads % 2:
            raise ValueError(
                f"model.emb_dim={self.emb_dim} model.n_heads={self.n_heads}: a head is {self.emb_dim // self.n_heads} "
                f"wide, and rotary positions turn pairs; possible: an even width, as model.emb_dim={2 * self.n_heads}"
            )

    @property
    def lacks(self) -> tuple[str, ...]:
        """Keys that mean nothing in this family."""
        return _LLAMA_ONLY if self.family is Family.gpt else _GPT_ONLY

    @property
    def tokenizer(self) -> "Tokenizer":
        if self.family is Family.gpt:
            return super().tokenizer
        from scratchlab.text.smollm2 import smollm2

        return smollm2()


_GPT_ONLY = ("qkv_bias", "drop_rate_emb", "drop_rate_shortcut", "drop_rate_attn")
_LLAMA_ONLY = ("n_kv_heads", "ff_dim", "rope_theta", "norm_eps")


def check_has(model: ModelConfig, key: str, what: str) -> None:
    """Raise ValueError if `key` means nothing in the family of `model`; `what` needs it."""
    if key in model.lacks:
        raise ValueError(
            f"model.family={model.family.name}: {what}, and this family has no model.{key}; possible: model.family=gpt,"
            " as in model=gpt2_small"
        )


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


def published_size(model: GPTConfig) -> str:
    """The published GPT-2 (a key of `SIZES`) that has the shape of `model`.

    Raises:
        ValueError: none has.
    """
    if isinstance(model, ModelConfig) and model.family is not Family.gpt:
        raise ValueError(
            f"model.family={model.family.name}: no published GPT-2 is of this family; possible: weights=smollm2 "
            "model=smollm2_135m; or weights=random, weights=checkpoint"
        )
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


SMOLLM2 = {
    "emb_dim": 576,
    "n_layers": 30,
    "n_heads": 9,
    "n_kv_heads": 3,
    "ff_dim": 1536,
    "vocab_size": 49152,
    "rope_theta": 100000.0,
    "norm_eps": 1e-5,
}
"""SmolLM2-135M, as its file says."""
SMOLLM2_CONTEXT = 8192
"""Tokens that SmolLM2 was trained to see; positions are computed, so a shorter context is the same model."""


def check_smollm2(model: ModelConfig) -> None:
    """Raise ValueError if SmolLM2's weights do not fit `model`."""
    found: dict[str, object] = {key: getattr(model, key) for key in SMOLLM2}
    different = {key: value for key, value in found.items() if value != SMOLLM2[key]}
    if model.context_length > SMOLLM2_CONTEXT:
        different["context_length"] = model.context_length
    if model.family is not Family.llama:
        different = {"family": model.family.name}
    if different:
        shown = " ".join(f"model.{key}={value}" for key, value in different.items())
        raise ValueError(
            f"weights=smollm2: SmolLM2-135M does not have {shown}; possible: model=smollm2_135m, with any "
            f"model.context_length up to {SMOLLM2_CONTEXT}; or weights=random"
        )
