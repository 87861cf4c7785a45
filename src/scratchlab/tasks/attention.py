"""Run one of chapter 3's attention classes on the book's sentence or on random vectors (exercises 3.1 to 3.3)."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from scratchlab.runs.record import Record

SENTENCE = (
    (0.43, 0.15, 0.89),
    (0.55, 0.87, 0.66),
    (0.57, 0.85, 0.64),
    (0.22, 0.58, 0.33),
    (0.77, 0.25, 0.10),
    (0.05, 0.80, 0.55),
)
"""Chapter 3's embeddings of "Your journey starts with one step"."""


class Variant(Enum):
    parameters = "parameters"
    linear = "linear"
    causal = "causal"
    stacked_heads = "stacked_heads"
    multi_head = "multi_head"


@dataclass(kw_only=True)
class Attention(Run):
    task: ClassVar[str] = "attention"

    variant: Variant = Variant.multi_head
    d_in: int = 3
    """Numbers a token has; 3 is the book's sentence, any other number random vectors."""
    d_out: int = 2
    """Numbers a token gets; with stacked heads, from each head."""
    num_heads: int = 1
    dropout: float = 0.0
    qkv_bias: bool = False
    batch_size: int = 1
    """Copies of the input in the batch."""
    tokens: int = 6
    """Tokens of random input; the sentence has 6."""
    transfer: bool = False
    """parameters: take the weights over from a module with linear layers, drawn with the same seed (exercise 3.1)."""

    def __post_init__(self) -> None:
        at_least(1, self, "d_in", "d_out", "num_heads", "batch_size", "tokens")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must be at least 0 and below 1")
        if self.variant is Variant.multi_head and self.d_out % self.num_heads:
            divisors = [n for n in range(1, self.d_out + 1) if self.d_out % n == 0]
            near = min(divisors, key=lambda n: abs(n - self.num_heads))
            raise ValueError(
                f"num_heads={self.num_heads}: does not divide d_out={self.d_out}; "
                f"possible: {', '.join(map(str, divisors))}; nearest: {near}"
            )
        if self.num_heads > 1 and self.variant not in (Variant.stacked_heads, Variant.multi_head):
            raise ValueError(
                f"num_heads={self.num_heads}: variant={self.variant.name} has one head; "
                "possible: variant=stacked_heads, variant=multi_head"
            )
        if self.transfer and (self.variant is not Variant.parameters or self.qkv_bias):
            raise ValueError(
                f"transfer=true with variant={self.variant.name} qkv_bias={str(self.qkv_bias).lower()}: only "
                "variant=parameters takes weights over, and it has no place for biases"
            )
        if self.d_in == len(SENTENCE[0]) and self.tokens != len(SENTENCE):
            raise ValueError(f"tokens={self.tokens}: the sentence, which d_in=3 means, has 6; possible: another d_in")

    def idle(self) -> dict[str, str]:
        found = {}
        if self.dropout and self.variant in (Variant.parameters, Variant.linear):
            found["dropout"] = f"variant={self.variant.name} has no dropout"
        if self.qkv_bias and self.variant is Variant.parameters:
            found["qkv_bias"] = "variant=parameters has no biases"
        return found


def attention(config: Attention, record: "Record") -> dict[str, Any]:
    import torch

    from scratchlab.model import compute
    from scratchlab.model.parameters import count

    machine = compute.prepare(config.compute)
    record.device = machine.name
    torch.manual_seed(config.seed)
    module = build(config)
    x = (torch.tensor(SENTENCE) if config.d_in == 3 else torch.rand(config.tokens, config.d_in)).to(machine.device)
    machine.prepare(module)
    batch = x.expand(config.batch_size, -1, -1)
    with torch.no_grad():
        moved = take_over(config, module, batch) if config.transfer else {}
        out = module(batch)
    parts = {name: count(part.parameters()) for name, part in module.named_children()}
    metrics = {
        "parameters": count(module.parameters()),
        "parameters_by_part": parts or {name: p.numel() for name, p in module.named_parameters()},
        "output_shape": list(out.shape),
        "largest_output": out.abs().max().item(),
    }
    return metrics | (shown(out, "output") if config.d_in == 3 else {}) | moved


def build(config: Attention) -> "nn.Module":
    from scratchlab.model import attention as chapter3

    sizes, bias = (config.d_in, config.d_out), config.qkv_bias
    match config.variant:
        case Variant.parameters:
            return chapter3.ParameterAttention(*sizes)
        case Variant.linear:
            return chapter3.LinearAttention(*sizes, qkv_bias=bias)
        case Variant.causal:
            return chapter3.CausalAttention(*sizes, dropout=config.dropout, qkv_bias=bias)
        case Variant.stacked_heads:
            return chapter3.StackedHeads(*sizes, config.num_heads, dropout=config.dropout, qkv_bias=bias)
        case Variant.multi_head:
            return chapter3.MultiHeadAttention(*sizes, config.num_heads, dropout=config.dropout, qkv_bias=bias)


def take_over(config: Attention, module: "nn.Module", batch: "Tensor") -> dict[str, Any]:
    """Move the weights of a module with linear layers into `module`; what both gave before and after."""
    import torch

    from scratchlab.model.attention import LinearAttention, ParameterAttention, transfer

    assert isinstance(module, ParameterAttention)
    torch.manual_seed(config.seed)
    linear = LinearAttention(config.d_in, config.d_out).to(batch.device)
    before, theirs = module(batch), linear(batch)
    transfer(linear, module)
    return {
        "largest_difference_before": (before - theirs).abs().max().item(),
        "largest_difference": (module(batch) - theirs).abs().max().item(),
        "shares_memory": module.W_query.data_ptr() == linear.W_query.weight.data_ptr(),
    } | (shown(before, "output_before") | shown(theirs, "output_linear") if config.d_in == 3 else {})


def shown(out: "Tensor", name: str) -> dict[str, Any]:
    """The first item of an output (B, T, C), as computed and to the four decimals that the book prints."""
    rows = out[0].tolist()
    return {name: rows, f"{name}_rounded": [[round(value, 4) for value in row] for row in rows]}
