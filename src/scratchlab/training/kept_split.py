"""One split with what frozen blocks give for its examples: how it lies on disk, and how it comes back in batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from scratchlab.data.spam import EncodedMessages
from scratchlab.training.kept import Mapped

TOKENS = 1024
"""Most tokens that go through the frozen part together, padding included, whatever the run's batches are; a longer
example goes alone."""


@dataclass(frozen=True)
class KeptSplit:
    """What is kept of a split, before it is computed."""

    key: str
    data: EncodedMessages
    seen: list[Tensor]
    """The tokens of each example that act on what is kept."""
    lengths: list[int]
    """Rows that are kept of each example."""
    width: int
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, int]:
        return sum(self.lengths), self.width

    @property
    def size(self) -> int:
        return sum(self.lengths) * self.width * self.dtype.itemsize

    @property
    def order(self) -> list[int]:
        """How examples follow each other on disk: by length, so that neighbours make a batch with little padding."""
        return sorted(range(len(self.data)), key=lambda i: len(self.seen[i]))

    def groups(self, *, padded: bool) -> Iterator[list[int]]:
        """Examples that go through the frozen part together, in order; of equal length unless they may be `padded`."""
        group: list[int] = []
        for i in self.order:
            length = len(self.seen[i])
            full = (len(group) + 1) * length > TOKENS
            if group and (full or not (padded or length == len(self.seen[group[0]]))):
                yield group
                group = []
            group.append(i)
        yield group


class WithKept(Dataset[Any]):
    """A split whose batches end with what is kept of their examples; fetched a batch at a time, as without.

    Examples of unequal length end in zeros, which nothing reads.
    """

    def __init__(self, split: KeptSplit, kept: Mapped) -> None:
        self.data, self.kept = split.data, kept
        order = split.order
        ends = list(accumulate(split.lengths[i] for i in order))
        self.places = {i: slice(end - split.lengths[i], end) for i, end in zip(order, ends, strict=True)}

    def __len__(self) -> int:
        return len(self.data)

    def of(self, i: int) -> Tensor:
        """What is kept of one example, (rows, C)."""
        return self.kept.tensor[self.places[i]]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = pad_sequence([self.of(i) for i in indices], batch_first=True)
        self.kept.release()  # else a whole epoch's would add up
        return (*self.data.__getitems__(indices), found)
