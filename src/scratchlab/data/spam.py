"""Messages with a label, spam or ham, encoded and padded (chapter 6)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scratchlab.data.collection import SPLITS, balance, load, split
from scratchlab.data.config import MessagesConfig
from scratchlab.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SPLITS",
    "EncodedMessages",
    "EncodedSplits",
    "balance",
    "encode",
    "load",
    "loaders",
    "split",
]

Batch = tuple[Tensor, Tensor, Tensor]
"""Token ids (B, T), labels (B), indices within the split (B)."""


class EncodedMessages(Dataset[Batch]):
    """One split as token ids; fetched a batch at a time, which costs no random draw more than one at a time."""

    def __init__(self, rows: list[list[int]], labels: list[int], length: int | None, *, pad: int) -> None:
        """`length`: pad with `pad`, or cut, every row to this many tokens; None keeps each row's own."""
        self.labels = torch.tensor(labels)
        if length is None:
            self.rows: list[Tensor] | Tensor = [torch.tensor(row) for row in rows]
        else:
            self.rows = torch.tensor([(row + [pad] * (length - len(row)))[:length] for row in rows])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> Batch:
        picked = torch.tensor(indices)
        if isinstance(self.rows, Tensor):
            return self.rows[picked], self.labels[picked], picked
        return torch.stack([self.rows[i] for i in indices]), self.labels[picked], picked

    def row(self, index: int) -> Tensor:
        """The token ids of one message, padding included, (T)."""
        return self.rows[index]

    def fingerprint(self) -> str:
        """Hash of every id and label, in order."""
        digest = hashlib.sha256(self.labels.numpy().tobytes())
        for row in self.rows:
            digest.update(row.numpy().tobytes())
        return digest.hexdigest()


@dataclass
class EncodedSplits:
    splits: dict[str, EncodedMessages]
    length: int | None
    """Tokens that every row was brought to; None where rows keep their own."""
    longest: int
    """Tokens of the longest row the model will see."""


def part(frame: "pd.DataFrame", few: int) -> "pd.DataFrame":
    """The first of a split, so many, with its longest text for the last of them: padding takes what it takes in all."""
    if few >= len(frame):
        return frame
    longest = int(frame["Text"].str.len().to_numpy().argmax())
    return frame.iloc[[*range(few - 1), max(longest, few - 1)]]


def encode(
    frames: dict[str, "pd.DataFrame"], config: MessagesConfig, tokenizer: Tokenizer, context_length: int
) -> EncodedSplits:
    """Encode and pad every split; what `longest` means is decided by the training split and holds for all.

    Raises:
        ValueError: a row is longer than `context_length`.
    """
    rows = {name: [tokenizer.encode_plain(text) for text in frame["Text"]] for name, frame in frames.items()}
    longest_train = max(map(len, rows["train"]))
    match config.pad_to:
        case "longest":
            length: int | None = longest_train
        case "context":
            length = context_length
        case "none":
            length = None
        case number:
            length = int(number)
    longest = length if length is not None else max(len(row) for split in rows.values() for row in split)
    if longest > context_length:
        raise ValueError(
            f"data.pad_to={config.pad_to} makes rows of {longest} tokens, but model.context_length={context_length}; "
            f"possible: data.pad_to=context, or a number up to {context_length}"
        )
    labels = {name: [int(label) for label in frame["Label"]] for name, frame in frames.items()}
    encoded = {name: EncodedMessages(rows[name], labels[name], length, pad=tokenizer.pad) for name in rows}
    return EncodedSplits(encoded, length, longest)


def loaders(splits: Mapping[str, Dataset[Any]], batch_size: int) -> dict[str, "DataLoader[Any]"]:
    """The book's loaders: training shuffled, without its last incomplete batch; the others in order and whole."""
    return {
        name: DataLoader(
            data, batch_size=batch_size, shuffle=name == "train", drop_last=name == "train", collate_fn=_as_it_is
        )
        for name, data in splits.items()
    }


def _as_it_is(batch: Any) -> Any:
    return batch
