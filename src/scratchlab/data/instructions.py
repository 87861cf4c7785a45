"""Instructions with responses: read, checked, split, put into a template, encoded and batched (chapter 7)."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scratchlab.data import readers
from scratchlab.data.config import LEAST, InstructionsConfig
from scratchlab.data.readers import Entry
from scratchlab.text.prompts import PromptConfig, parts
from scratchlab.text.tokenizer import Tokenizer

IGNORE = -100
"""A target that the loss leaves out; `F.cross_entropy`'s own default."""


def load(config: InstructionsConfig) -> dict[str, list[Entry]]:
    """The train, test and val entries.

    Raises:
        FileNotFoundError: the file could not be had.
        ValueError: it has a malformed entry, or too few.
    """
    path = config.chosen.file()
    entries = readers.entries(path)[: config.size or None]
    if len(entries) < LEAST:
        raise ValueError(f"{path} has {len(entries)} entries; must be at least {LEAST} to be split in three")
    return split(entries)


def split(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Cut into 85 %, 10 % and the rest, in the order of the file: train, test, val."""
    train_end = int(len(entries) * 0.85)
    test_end = train_end + int(len(entries) * 0.1)
    return {
        "train": list(entries[:train_end]),
        "test": list(entries[train_end:test_end]),
        "val": list(entries[test_end:]),
    }


@dataclass(frozen=True)
class Item:
    """One entry as tokens: the question, the answer, no end-of-text."""

    ids: list[int]
    question: int
    """How many of the ids are the question's."""

    @property
    def masked(self) -> int:
        """How many targets masking leaves out: one fewer than the question has tokens.

        Targets are the ids moved left by one place, so the question's tokens 2 to L are the first L - 1 targets.
        The next target is the answer's first token, which the model should learn to write.
        """
        return self.question - 1


def encode(tokenizer: Tokenizer, prompt: PromptConfig, entry: Entry) -> Item:
    """Put an entry into a template and encode it as one text.

    Where the border between question and answer falls inside a token, as it can between two pieces of whitespace, that
    token counts to the answer.
    """
    question, answer = parts(prompt, entry)
    # an entry's text that happens to read like a special token is text
    ids = tokenizer.encode_parts(question + answer)
    alone = tokenizer.encode_parts(question)
    shared = 0
    while shared < min(len(ids), len(alone)) and ids[shared] == alone[shared]:
        shared += 1
    return Item(ids, max(shared, 1))


class Instructions(Dataset[Item]):
    """One split as tokens."""

    def __init__(self, entries: Sequence[Entry], prompt: PromptConfig, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.items = [encode(tokenizer, prompt, entry) for entry in entries]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def fingerprint(self) -> str:
        """Hash of every id and every border between question and answer, in order."""
        return hashlib.sha256(json.dumps([(item.question, item.ids) for item in self.items]).encode()).hexdigest()


@dataclass(frozen=True)
class Counts:
    """What a split gives to learn from, in tokens."""

    tokens_mean: float
    """Of an entry, without end-of-text."""
    tokens_max: int
    targets: int
    """Tokens to predict: all of an entry but its first, and one end-of-text; masked ones are counted too."""
    masked: int
    """Targets that are left out of the loss because they belong to the question."""
    cut: int
    """Answers (or their end-of-text) cut short by the maximum length."""
    lost: int
    """Answers of which not a single token is left."""


def count(data: Instructions, *, mask: bool, max_length: int) -> Counts:
    lengths = [len(item.ids) for item in data]
    return Counts(
        tokens_mean=sum(lengths) / len(lengths),
        tokens_max=max(lengths),
        targets=sum(min(length, max_length) for length in lengths),
        masked=sum(min(item.masked, max_length) for item in data) if mask else 0,
        cut=sum(length > max_length for length in lengths),
        lost=sum(item.masked >= max_length for item in data),
    )


Batch = tuple[Tensor, Tensor]
"""Token ids (B, T) and targets (B, T)."""


def collate(items: Sequence[Item], tokenizer: Tokenizer, *, mask: bool, max_length: int) -> Batch:
    """Pad to the longest item, or cut to `max_length`.

    The end token after an item is a target, so that the model learns to stop; what only pads is not. Which is which
    goes by position, since the two may be one token, and an end token inside an item is a token like any other.
    """
    length = min(max(len(item.ids) for item in items), max_length)
    inputs = torch.full((len(items), length), tokenizer.pad)
    targets = torch.full((len(items), length), IGNORE)
    for row, item in enumerate(items):
        seen = item.ids[:length]
        following = [*item.ids[1:], tokenizer.end][:length]
        inputs[row, : len(seen)] = torch.tensor(seen)
        targets[row, : len(following)] = torch.tensor(following)
        if mask:
            targets[row, : item.masked] = IGNORE
    return inputs, targets


def has_target(batch: Batch) -> bool:
    """Whether there is anything to learn from; under masking, cut answers may leave nothing."""
    return bool((batch[1] != IGNORE).any())


def loaders(
    splits: dict[str, Instructions], *, batch_size: int, mask: bool, max_length: int
) -> dict[str, "DataLoader[Item]"]:
    """The book's loaders: training shuffled, without its last incomplete batch; the others in order and whole.

    Raises:
        ValueError: the training split is smaller than one batch.
    """
    if len(splits["train"]) < batch_size:
        raise ValueError(
            f"train.batch_size={batch_size}: the training split has only {len(splits['train'])} entries, which make no "
            f"batch; possible: 1 to {len(splits['train'])}"
        )
    return {
        name: DataLoader(
            data,
            batch_size=batch_size,
            shuffle=name == "train",
            drop_last=name == "train",
            collate_fn=partial(collate, tokenizer=data.tokenizer, mask=mask, max_length=max_length),
        )
        for name, data in splits.items()
    }
