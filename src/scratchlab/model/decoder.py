"""What may be asked of a model, whatever its family: the seam between models and all that uses them.

Tasks, tuning, generation, scoring and export know a `Decoder` and nothing below it.
"""

# B batch, T tokens, C embedding, V vocabulary (or classes)

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from scratchlab.model.cache import KeyValueCache
from scratchlab.model.config import DecoderConfig
from scratchlab.text.tokenizer import Tokenizer

T = TypeVar("T")

SHORT = 256
"""Tokens up to which a CPU learns attention more quickly in float32 than in bfloat16; measured from 32 to 1,024."""


class Block(nn.Module, ABC):
    """One of a decoder's layers."""

    @abstractmethod
    def forward(
        self, x: Tensor, positions: Tensor, cache: KeyValueCache | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Map (B, T, C) to (B, T, C).

        `positions`: where the tokens stand in their texts, (T) or (B, T). `mask`: boolean, broadcastable to (B, H, T,
        all tokens), True where attention is allowed; it replaces the causal rule. Without it a cached call may bring
        several tokens only while the cache is empty.
        """

    def forward_at(self, x: Tensor, positions: Tensor, at: Tensor) -> Tensor:
        """What `forward` gives at one place of each row, `at` (B): (B, C). A family may compute that alone."""
        return picked(self(x, positions), at)[:, 0]


def picked(x: Tensor, at: Tensor) -> Tensor:
    """One place of each row, `at` (B), of (B, T, C): (B, 1, C)."""
    return x.take_along_dim(at[:, None, None], dim=1)


def up_to(at: Tensor, tokens: int) -> Tensor:
    """The causal rule for one query of each row, at `at` (B): a mask (B, 1, 1, T) for `tokens` tokens."""
    return (torch.arange(tokens, device=at.device) <= at[:, None])[:, None, None]


def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """torch's scaled_dot_product_attention for (B, H, T, D), and its options.

    Where a CPU learns in bfloat16 from few tokens, this part is done in float32: torch's backward pass in bfloat16
    takes two to three times as long.
    """
    learns = torch.is_grad_enabled() and value.requires_grad
    # autocast would round what is in float32 still
    if not (learns and value.dtype == torch.bfloat16 and value.device.type == "cpu" and value.shape[2] <= SHORT):
        return F.scaled_dot_product_attention(query, key, value, **options)
    with torch.autocast("cpu", enabled=False):
        exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), **options)
    return exact.to(value.dtype)


class Decoder(nn.Module, ABC):
    """Token ids in, logits out; the steps between can be called one by one.

    `embed`, each of `blocks`, and `head` are the seams: what no trainable parameter can change may be run once and
    its output kept, and `head` may be asked for some positions only.

    A class, not a protocol: whoever uses a decoder uses it as a `nn.Module` too, and no type says both.
    """

    checkpoints = False
    """Whether training keeps only what each block reads, and computes the rest again on its way back."""
    sharded = False
    """Whether its weights lie in parts on several devices; see `sharded`."""
    config: DecoderConfig
    tok_emb: nn.Embedding
    final_norm: nn.Module
    out_head: nn.Module | None
    """What comes after the final norm: a linear layer, which may be replaced by one for classes; None while the token
    embedding itself is the head (a tied one)."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """In the order in which they are run."""

    @abstractmethod
    def embed(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Turn ids (B, T) at `positions` (T or B, T) into (B, T, C).

        Raises:
            ValueError: more tokens than `context_length`.
        """

    @abstractmethod
    def head(self, x: Tensor) -> Tensor:
        """Final norm and output head: (..., C) to (..., V)."""

    @abstractmethod
    def new_cache(self, rows: int, slots: int, *, like: Tensor) -> list[KeyValueCache]:
        """Room for the keys and values of `slots` tokens of each of `rows` texts, block by block.

        `like`: what `embed` gave, for device and number format.
        """

    @property
    def tokenizer(self) -> Tokenizer:
        return self.config.tokenizer

    @property
    def device(self) -> torch.device:
        return self.tok_emb.weight.device

    def states(self, ids: Tensor) -> Tensor:
        """What `head` reads: ids (B, T) through embedding and every block, (B, T, C)."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.embed(ids, positions)
        for block in self.blocks:
            if self.checkpoints and torch.is_grad_enabled():
                x = checkpoint(block, x, positions, use_reentrant=False)  # dropout's draws are kept and made again
            else:
                x = block(x, positions)
        return x

    def forward(self, ids: Tensor, where: Tensor | None = None) -> Tensor:
        """Map ids (B, T) to logits (B, T, V); with `where` (boolean, B, T) to those of its N true places (N, V)."""
        x = self.states(ids)
        return self.head(x if where is None else x[where])

    def through(self, call: Callable[[], T]) -> T:
        """Do `call`, which uses the model; where it is sharded, one such call is one pass through it."""
        return call()

    def first_trainable(self) -> int:
        """The first part with something to train: 0 the embedding, 1 to n a block, n + 1 norm and head, n + 2 none.

        What comes before it gives the same output for the same ids throughout training, if nothing there is random.
        """
        head = list(self.final_norm.parameters()) + ([] if self.out_head is None else list(self.out_head.parameters()))
        later = [*(list(block.parameters()) for block in self.blocks), head]
        known = {id(parameter) for part in later for parameter in part}
        embedding = [*self.tok_emb.parameters(), *(p for p in self.parameters() if id(p) not in known)]
        parts = [embedding, *later]
        return next((number for number, part in enumerate(parts) if any(p.requires_grad for p in part)), len(parts))
