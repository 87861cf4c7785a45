"""The book's GPT (chapters 3 and 4), bottom-up, with the three dropout rates of exercise 4.3.

Parameter names and the order in which parameters are created are the book's: state dicts load by name, and the
same seed gives the same random weights. Sources: chapter 4; Radford et al. 2019 (GPT-2).
"""

# B batch, T tokens, C embedding, H heads, D = C / H per head, V vocabulary (or classes)

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scratchlab.model.config import GPTConfig


class LayerNorm(nn.Module):
    """Layer normalisation with the book's parameter names."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, eps=1e-5)


class KeyValueCache:
    """Keys and values one attention layer has already seen; those of a row's token at position p lie in slot p.

    The rows of a batch may have come to different positions. The owner sets `positions` before every call that brings
    one token a row; while it is None, a call brings every row's first tokens.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys  # (B, H, slots, D)
        self.values = values
        self.positions: Tensor | None = None  # (B)
        self.length = 0
        """Slots that the farthest row has filled, the new token included."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the new tokens' keys and values (B, H, T, D); return those of all tokens so far."""
        if self.positions is None:
            self.length = keys.shape[2]
            self.keys[:, :, : self.length] = keys
            self.values[:, :, : self.length] = values
        else:
            rows = torch.arange(len(keys), device=keys.device)
            self.keys[rows, :, self.positions] = keys[:, :, 0]
            self.values[rows, :, self.positions] = values[:, :, 0]
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class MultiHeadAttention(nn.Module):
    """Causal multi-head attention; q, k and v projections apart, as in chapter 3."""

    def __init__(
        self, emb_dim: int, n_heads: int, *, dropout: float = 0.0, qkv_bias: bool = False, causal: bool = True
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.causal = causal
        self.W_query = nn.Linear(emb_dim, emb_dim, bias=qkv_bias)
        self.W_key = nn.Linear(emb_dim, emb_dim, bias=qkv_bias)
        self.W_value = nn.Linear(emb_dim, emb_dim, bias=qkv_bias)
        self.out_proj = nn.Linear(emb_dim, emb_dim)

    def _heads(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        return x.view(B, T, self.n_heads, C // self.n_heads).transpose(1, 2)  # (B, H, T, D)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C).

        `mask`: boolean, broadcastable to (B, H, T, all tokens), True where attention is allowed; it replaces the causal
        rule. Without it a cached call may bring several tokens only while the cache is empty.
        """
        B, T, C = x.shape
        query, key, value = (
            self._heads(self.W_query(x)),
            self._heads(self.W_key(x)),
            self._heads(self.W_value(x)),
        )
        if cache is not None:
            key, value = cache.extend(key, value)
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            # a single new token may see everything cached before it: there is nothing left to mask
            is_causal=self.causal and mask is None and T > 1,
        )
        return self.out_proj(out.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    """Two linear layers, four times wider between, with GELU in its tanh form."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(emb_dim, 4 * emb_dim), nn.GELU(approximate="tanh"), nn.Linear(4 * emb_dim, emb_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each behind a norm and around a shortcut (pre-norm)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.att = MultiHeadAttention(
            config.emb_dim,
            config.n_heads,
            dropout=config.drop_rate_attn,
            qkv_bias=config.qkv_bias,
            causal=config.causal,
        )
        self.ff = FeedForward(config.emb_dim)
        self.norm1 = LayerNorm(config.emb_dim)
        self.norm2 = LayerNorm(config.emb_dim)
        self.drop_shortcut = nn.Dropout(config.drop_rate_shortcut)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None) -> Tensor:
        """Map (B, T, C) to (B, T, C); `cache` and `mask` as in `MultiHeadAttention.forward`."""
        x = x + self.drop_shortcut(self.att(self.norm1(x), cache, mask))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))


class GPT(nn.Module):
    """Token ids in, logits out; the steps between can be called one by one.

    `embed`, each of `trf_blocks`, and `head` are the seams: what no trainable parameter can change may be run once and
    its output kept, and `head` may be asked for some positions only.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.pos_emb = nn.Embedding(config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate_emb)
        self.trf_blocks = nn.Sequential(*[TransformerBlock(config) for _ in range(config.n_layers)])
        self.final_norm = LayerNorm(config.emb_dim)
        # not tied to tok_emb: the book counts it, and training moves the two apart
        self.out_head: nn.Module = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    @property
    def blocks(self) -> list[TransformerBlock]:
        return cast(list[TransformerBlock], list(self.trf_blocks))

    def embed(self, ids: Tensor, positions: Tensor | None = None) -> Tensor:
        """Turn ids (B, T) into (B, T, C); `positions` (T or B, T) default to 0 ... T-1.

        Raises:
            ValueError: more tokens than `context_length`.
        """
        T = ids.shape[1]
        if T > self.config.context_length:
            raise ValueError(f"{T} tokens, but the model's context_length is {self.config.context_length}")
        if positions is None:
            positions = torch.arange(T, device=ids.device)
        return self.drop_emb(self.tok_emb(ids) + self.pos_emb(positions))

    def head(self, x: Tensor) -> Tensor:
        """Final norm and output head: (..., C) to (..., V)."""
        return self.out_head(self.final_norm(x))

    def forward(self, ids: Tensor, where: Tensor | None = None) -> Tensor:
        """Map ids (B, T) to logits (B, T, V); with `where` (boolean, B, T) to those of its N true places (N, V)."""
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x if where is None else x[where])


def count(parameters: Iterable[nn.Parameter], *, trainable_only: bool = False) -> int:
    """Number of scalars in `parameters`."""
    return sum(p.numel() for p in parameters if p.requires_grad or not trainable_only)
