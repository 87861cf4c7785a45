"""The book's GPT (chapters 3 and 4), bottom-up, with the three dropout rates of exercise 4.3.

Parameter names and the order in which parameters are created are the book's: state dicts load by name, and the
same seed gives the same random weights. Sources: chapter 4; Radford et al. 2019 (GPT-2).
"""

# B batch, T tokens, C embedding, H heads, D = C / H per head, V vocabulary (or classes)

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scratchlab.model.cache import KeyValueCache
from scratchlab.model.config import GPTConfig
from scratchlab.model.decoder import Block, Decoder, attend, picked, up_to


class LayerNorm(nn.Module):
    """Layer normalisation with the book's parameter names."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(emb_dim))
        self.shift = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, eps=1e-5)


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

    def forward(
        self, x: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None, at: Tensor | None = None
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C).

        `mask`: boolean, broadcastable to (B, H, T, all tokens), True where attention is allowed; it replaces the causal
        rule. Without it a cached call may bring several tokens only while the cache is empty. `at` (B): queries
        at one place of each row alone, and the output is (B, 1, C); a causal call needs the mask.
        """
        asking = x if at is None else picked(x, at)
        B, T, C = asking.shape
        query, key, value = (
            self._heads(self.W_query(asking)),
            self._heads(self.W_key(x)),
            self._heads(self.W_value(x)),
        )
        if cache is not None:
            key, value = cache.extend(key, value)
        out = attend(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            # a single new token may see everything cached before it: there is nothing left to mask
            is_causal=T > 1 and self.causal and mask is None,
        )
        return self.out_proj(out.transpose(1, 2).reshape(B, T, C))

    def at(self, x: Tensor, at: Tensor) -> Tensor:
        """The output at one place of each row of x (B, T, C), `at` (B): (B, 1, C).

        A query alone needs no keys: q . (W x) is (W^T q) . x, one product for each query in the place of one for each
        token. Nor values: what is mixed is x, and W comes after. LoRA's layers have no such W, and draws of dropout
        would be others.
        """
        layers = (self.W_key, self.W_value)
        mask = up_to(at, x.shape[1]) if self.causal else None  # (B, 1, 1, T)
        if not all(type(layer) is nn.Linear for layer in layers) or (self.training and self.dropout):
            return self(x, mask=mask, at=at)
        B, _, C = x.shape
        to_keys, to_values = (layer.weight.view(self.n_heads, -1, C) for layer in layers)  # (H, D, C)
        query = self._heads(self.W_query(picked(x, at))).squeeze(2)  # (B, H, D)
        scores = torch.einsum("bhd,hdc->bhc", query, to_keys) @ x.transpose(1, 2)  # (B, H, T)
        if self.W_key.bias is not None:
            scores = scores + (query * self.W_key.bias.view(self.n_heads, -1)).sum(dim=-1, keepdim=True)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        weights = (scores / query.shape[-1] ** 0.5).softmax(dim=-1)
        out = torch.einsum("bhc,hdc->bhd", weights @ x, to_values).reshape(B, 1, C)
        return self.out_proj(out if self.W_value.bias is None else out + self.W_value.bias)


class FeedForward(nn.Module):
    """Two linear layers, four times wider between, with GELU in its tanh form."""

    def __init__(self, emb_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(emb_dim, 4 * emb_dim), nn.GELU(approximate="tanh"), nn.Linear(4 * emb_dim, emb_dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class TransformerBlock(Block):
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

    def forward(
        self, x: Tensor, positions: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """As `Block.forward`; positions are in `x` already, since GPT-2 adds them to the embedding."""
        x = x + self.drop_shortcut(self.att(self.norm1(x), cache, mask))
        return x + self.drop_shortcut(self.ff(self.norm2(x)))

    def forward_at(self, x: Tensor, positions: Tensor, at: Tensor) -> Tensor:
        """As `Block.forward_at`: of all tokens but one a row, the first norm alone."""
        x = picked(x, at) + self.drop_shortcut(self.att.at(self.norm1(x), at))  # (B, 1, C)
        return (x + self.drop_shortcut(self.ff(self.norm2(x))))[:, 0]


class GPT(Decoder):
    """Token ids in, logits out: `embed`, each of `blocks`, `head`, one after the other (`Decoder.forward`)."""

    config: GPTConfig

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

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        if ids.shape[1] > self.config.context_length:
            raise ValueError(f"{ids.shape[1]} tokens, but the model's context_length is {self.config.context_length}")
        return self.drop_emb(self.tok_emb(ids) + self.pos_emb(positions))

    def head(self, x: Tensor) -> Tensor:
        return self.out_head(self.final_norm(x))

    def new_cache(self, rows: int, slots: int, *, like: Tensor) -> list[KeyValueCache]:
        heads = self.config.n_heads
        return [
            KeyValueCache.empty(rows, heads, slots, self.config.emb_dim // heads, like=like) for _ in self.trf_blocks
        ]
