"""Chapter 3's way to multi-head attention, one small class a step (exercises 3.1 to 3.3); the GPT has its own.

Parameters are created in the book's order, so that the same seed gives the book's numbers.
"""

# B batch, T tokens, H heads, D = d_out / H per head; without a batch, axes start at T

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ParameterAttention(nn.Module):
    """Self-attention whose weights are plain parameters (d_in, d_out), drawn evenly from 0 to 1."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.W_query = nn.Parameter(torch.rand(d_in, d_out))
        self.W_key = nn.Parameter(torch.rand(d_in, d_out))
        self.W_value = nn.Parameter(torch.rand(d_in, d_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., T, d_in) to (..., T, d_out)."""
        return F.scaled_dot_product_attention(x @ self.W_query, x @ self.W_key, x @ self.W_value)


class LinearAttention(nn.Module):
    """The same with linear layers, whose weights lie the other way round, (d_out, d_in)."""

    def __init__(self, d_in: int, d_out: int, *, qkv_bias: bool = False) -> None:
        super().__init__()
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., T, d_in) to (..., T, d_out)."""
        return F.scaled_dot_product_attention(self.W_query(x), self.W_key(x), self.W_value(x))


def transfer(source: LinearAttention, target: ParameterAttention) -> None:
    """Give `target` the weights of `source`, as exercise 3.1 does: both then share the same memory.

    Biases have no place in `target`.
    """
    target.W_query = nn.Parameter(source.W_query.weight.T)
    target.W_key = nn.Parameter(source.W_key.weight.T)
    target.W_value = nn.Parameter(source.W_value.weight.T)


class CausalAttention(LinearAttention):
    """No token sees a later one; dropout on the attention weights."""

    def __init__(self, d_in: int, d_out: int, *, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__(d_in, d_out, qkv_bias=qkv_bias)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d_in) to (B, T, d_out)."""
        return F.scaled_dot_product_attention(
            self.W_query(x),
            self.W_key(x),
            self.W_value(x),
            is_causal=True,
            dropout_p=self.dropout if self.training else 0.0,
        )


class StackedHeads(nn.Module):
    """Several causal attentions side by side; each gives `d_out` columns of the output."""

    def __init__(self, d_in: int, d_out: int, num_heads: int, *, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            CausalAttention(d_in, d_out, dropout=dropout, qkv_bias=qkv_bias) for _ in range(num_heads)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d_in) to (B, T, H * d_out)."""
        return torch.cat([head(x) for head in self.heads], dim=-1)


class MultiHeadAttention(nn.Module):
    """Causal attention of all heads at once; the heads share `d_out` columns, and a last layer mixes them."""

    def __init__(self, d_in: int, d_out: int, num_heads: int, *, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.W_query = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_key = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.W_value = nn.Linear(d_in, d_out, bias=qkv_bias)
        self.out_proj = nn.Linear(d_out, d_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, d_in) to (B, T, d_out)."""
        query, key, value = (
            layer(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, T, D)
            for layer in (self.W_query, self.W_key, self.W_value)
        )
        out = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out_proj(out.transpose(1, 2).flatten(2))
