"""A Llama, bottom-up: RMS norm, rotary positions, SwiGLU, shared key and value heads, a head that is the embedding.

Beside the book's GPT, under the same parts' names. Sources: Touvron et al. 2023 (Llama); Su et al. 2021 (rotary
positions); Shazeer 2020 (SwiGLU); Ainslie et al. 2023 (grouped queries); SmolLM2's configuration.
"""

# B batch, T tokens, C embedding, H heads of queries, G heads of keys and values, D = C / H per head, V vocabulary

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scratchlab.model.cache import KeyValueCache
from scratchlab.model.config import ModelConfig
from scratchlab.model.decoder import Block, Decoder, attend, picked, up_to


def rotated(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """Turn x (B, heads, T, D) by angles that grow with `positions` (T or B, T): what attention then sees is distance.

    Column i is paired with column i + D / 2, and the pair turns by position * theta ** (-2 i / D). Angles are computed
    in float32 whatever x is: they are large, and their differences count.
    """
    half = x.shape[-1] // 2
    speeds = theta ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = (positions.float()[..., None] * speeds).unsqueeze(-3)  # (1 or B, 1, T, D / 2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class GroupedQueryAttention(nn.Module):
    """Causal attention in which each head of keys and values serves several heads of queries."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        C, self.n_heads, self.n_kv_heads = config.emb_dim, config.n_heads, config.n_kv_heads
        self.theta, self.causal = config.rope_theta, config.causal
        shared = C // self.n_heads * self.n_kv_heads
        self.W_query = nn.Linear(C, C, bias=False)
        self.W_key = nn.Linear(C, shared, bias=False)
        self.W_value = nn.Linear(C, shared, bias=False)
        self.out_proj = nn.Linear(C, C, bias=False)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        cache: KeyValueCache | None = None,
        mask: Tensor | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C); as `Block.forward`.

        `at` (B): queries at one place of each row alone, and the output is (B, 1, C); a causal call needs the mask.
        """
        asking, places = (x, positions) if at is None else (picked(x, at), positions[at][:, None])
        T = asking.shape[1]
        query = self.W_query(asking).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, H, T, D)
        key = self.W_key(x).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)  # (B, G, T, D)
        value = self.W_value(x).unflatten(-1, (self.n_kv_heads, -1)).transpose(1, 2)
        query, key = rotated(query, places, self.theta), rotated(key, positions, self.theta)
        if cache is not None:  # keys are kept turned, and G heads of them
            key, value = cache.extend(key, value)
        groups = self.n_heads // self.n_kv_heads
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        out = attend(
            query,
            key,
            value,
            attn_mask=mask,
            # a single new token may see everything cached before it: there is nothing left to mask
            is_causal=T > 1 and self.causal and mask is None,
        )
        return self.out_proj(out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """SwiGLU: one layer gates another, value by value, and a third brings the product back to C."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.emb_dim, config.ff_dim, bias=False)
        self.up = nn.Linear(config.emb_dim, config.ff_dim, bias=False)
        self.down = nn.Linear(config.ff_dim, config.emb_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class LlamaBlock(Block):
    """Attention and feed-forward, each behind a norm and around a shortcut (pre-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.att = GroupedQueryAttention(config)
        self.ff = FeedForward(config)
        self.norm1 = nn.RMSNorm(config.emb_dim, eps=config.norm_eps)
        self.norm2 = nn.RMSNorm(config.emb_dim, eps=config.norm_eps)

    def forward(
        self, x: Tensor, positions: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        x = x + self.att(self.norm1(x), positions, cache, mask)
        return x + self.ff(self.norm2(x))

    def forward_at(self, x: Tensor, positions: Tensor, at: Tensor) -> Tensor:
        """As `Block.forward_at`: keys and values of every token, the rest of one a row."""
        mask = up_to(at, x.shape[1]) if self.att.causal else None
        x = picked(x, at) + self.att(self.norm1(x), positions, mask=mask, at=at)  # (B, 1, C)
        return (x + self.ff(self.norm2(x)))[:, 0]


class Llama(Decoder):
    """Token ids in, logits out: `embed`, each of `blocks`, `head`, one after the other (`Decoder.forward`)."""

    config: ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.emb_dim)
        self.trf_blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.n_layers))
        self.final_norm = nn.RMSNorm(config.emb_dim, eps=config.norm_eps)
        self.out_head: nn.Module | None = None
        # the embedding is the head too: torch's own spread of 1 would make the first logits far too large
        nn.init.normal_(self.tok_emb.weight, std=0.02)

    @property
    def blocks(self) -> list[LlamaBlock]:
        return cast(list[LlamaBlock], list(self.trf_blocks))

    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        if ids.shape[1] > self.config.context_length:
            raise ValueError(f"{ids.shape[1]} tokens, but the model's context_length is {self.config.context_length}")
        return self.tok_emb(ids)

    def head(self, x: Tensor) -> Tensor:
        x = self.final_norm(x)
        return F.linear(x, self.tok_emb.weight) if self.out_head is None else self.out_head(x)

    def new_cache(self, rows: int, slots: int, *, like: Tensor) -> list[KeyValueCache]:
        c = self.config
        width = c.emb_dim // c.n_heads
        return [KeyValueCache.empty(rows, c.n_kv_heads, slots, width, like=like) for _ in self.trf_blocks]
