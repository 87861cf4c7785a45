"""Dropout as one process would draw it, in a process that has some rows of the batch."""

# B rows of this process, H heads, T tokens, D = C / H

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class WholeDraws(TorchFunctionMode):
    """Within this, dropout draws for all rows of a batch and uses those of this process.

    So every generator stands where it would in one process, and the numbers are the same but for rounding. Attention
    with dropout is computed step by step: its own kernels would draw inside. On a GPU those draw otherwise.
    """

    def __init__(self, rows: slice, total: int) -> None:
        super().__init__()
        self.rows, self.total = rows, total

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func is F.scaled_dot_product_attention and kwargs.get("dropout_p"):
            return self._attention(*args, **kwargs)
        return func(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p:
            return x
        return x * self._noise(x, p)

    def _noise(self, x: Tensor, p: float) -> Tensor:
        return F.dropout(x.new_ones(self.total, *x.shape[1:]), p)[self.rows]

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
    ) -> Tensor:
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5  # (B, H, T, T)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        weights = scores.softmax(dim=-1)
        return (weights * self._noise(weights, dropout_p)) @ value
