"""Keys and values that attention has already seen, so that a text is written without reading it again."""

# B rows, H heads (those of keys and values, where a family has fewer of them than of queries), T tokens, D per head

import torch
from torch import Tensor


class KeyValueCache:
    """The keys and values of one layer; those of a row's token at position p lie in slot p.

    The rows of a batch may have come to different positions. The owner sets `positions` before every call that brings
    one token a row; while it is None, a call brings every row's first tokens.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys  # (B, H, slots, D)
        self.values = values
        self.count = len(keys)
        """Rows in use, the first ones."""
        self.positions: Tensor | None = None  # (count)
        self.length = 0
        """Slots that the farthest row has filled, the new token included."""

    @classmethod
    def empty(cls, rows: int, heads: int, slots: int, width: int, *, like: Tensor) -> "KeyValueCache":
        """Room for `slots` tokens of D = `width`, where `like` lies and in the number format of attention there."""
        device = like.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype
        # zeros: a slot that the mask hides counts zero times what it holds, which must not be a leftover NaN
        return cls(*(like.new_zeros((rows, heads, slots, width), dtype=dtype) for _ in range(2)))

    def rows(self, start: int, stop: int) -> "KeyValueCache":
        """Some rows, in the same memory."""
        return KeyValueCache(self.keys[start:stop], self.values[start:stop])

    def move(self, source: int, target: int, length: int) -> None:
        """Bring the first `length` slots of one row to the place of another, which is forgotten."""
        for kept in (self.keys, self.values):
            kept[target, :, :length] = kept[source, :, :length]

    def grow(self, rows: int, slots: int) -> None:
        """Have room for at least so many rows and slots."""
        B, H, had, D = self.keys.shape
        if rows <= B and slots <= had:
            return
        shape = (max(rows, B), H, max(slots, had), D)
        for name in ("keys", "values"):
            old, new = getattr(self, name), self.keys.new_zeros(shape)
            new[: self.count, :, :had] = old[: self.count]
            setattr(self, name, new)

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
        return self.keys[: self.count, :, : self.length], self.values[: self.count, :, : self.length]
