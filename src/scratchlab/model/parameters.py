"""Count parameters, of any module."""

from collections.abc import Iterable

from torch import nn


def count(parameters: Iterable[nn.Parameter], *, trainable_only: bool = False) -> int:
    """Number of scalars in `parameters`."""
    return sum(p.numel() for p in parameters if p.requires_grad or not trainable_only)
