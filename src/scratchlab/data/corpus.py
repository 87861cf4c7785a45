"""A text cut into windows of tokens, each with the same window one token later as its target (chapters 2 and 5)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scratchlab.data import readers
from scratchlab.data.config import CorpusConfig
from scratchlab.text.tokenizer import Tokenizer

SPLITS = ("train", "val")

Batch = tuple[Tensor, Tensor]
"""Token ids (B, T) and the ids that follow each of them (B, T)."""


def read(config: CorpusConfig) -> str:
    """The whole text.

    Raises:
        FileNotFoundError: it could not be had.
        ValueError: it is not UTF-8.
    """
    return readers.text(config.chosen.file())


def split(text: str, train_fraction: float, tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Cut by characters, then encode each part: a word on the border becomes other tokens than in the whole text."""
    border = int(train_fraction * len(text))
    return {"train": tokenizer.encode(text[:border]), "val": tokenizer.encode(text[border:])}


class Windows(Dataset[Batch]):
    """Windows of `length` tokens, starting every `stride` tokens; a last one that is not full is left out.

    Source: chapter 2, `GPTDatasetV1`.
    """

    def __init__(self, ids: list[int], length: int, stride: int) -> None:
        self.ids = torch.tensor(ids)
        self.length = length
        self.starts = torch.arange(0, max(0, len(ids) - length), stride)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitems__(self, indices: list[int]) -> Batch:
        places = self.starts[torch.tensor(indices)][:, None] + torch.arange(self.length)  # (B, T)
        return self.ids[places], self.ids[places + 1]


def loader(windows: Windows, batch_size: int, *, shuffle: bool, drop_last: bool) -> "DataLoader[Batch]":
    """Batches of windows; shuffling draws from torch's global generator."""
    return DataLoader(windows, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


def loaders(
    text: str,
    config: CorpusConfig,
    tokenizer: Tokenizer,
    *,
    length: int,
    stride: int,
    batch_size: int,
    few: Callable[[int], int] | None = None,
) -> "dict[str, DataLoader[Batch]]":
    """The book's loaders: training shuffled and without its last incomplete batch, validation in order and whole.

    `few`: how many are used of the windows that are there of a part; None: all.

    Raises:
        ValueError: a part is too short for a batch.
    """
    found = {}
    for name, ids in split(text, config.train_fraction, tokenizer).items():
        windows, train = Windows(ids, length, stride), name == "train"
        windows.starts = windows.starts[: few(len(windows)) if few else None]
        if len(windows) < (batch_size if train else 1):
            raise ValueError(
                f"the {name} part of the text has {len(ids):,} tokens, too few for a batch: a window takes {length} "
                f"and one more, and training needs {batch_size} windows; possible: a smaller train.max_length "
                "(or model.context_length), a smaller train.batch_size, or a longer text"
            )
        found[name] = loader(windows, batch_size, shuffle=train, drop_last=train)
    return found
