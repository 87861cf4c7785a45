"""What training cannot change is computed once for each example, and kept: training runs on what is kept.

The part of a classifier before its first trainable parameter gives the same for the same ids in every epoch,
evaluation, seed and run that shares its weights, if nothing in it is random. What is kept hangs on all that acts on it,
and on nothing else: so runs find each other's. Wherever it cannot be kept, everything is computed as ever.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from scratchlab.data.spam import EncodedMessages
from scratchlab.model.classifier import logits_at, place
from scratchlab.model.compute import Compute
from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder
from scratchlab.progress import progress
from scratchlab.runs import environment
from scratchlab.runs.config import ComputeConfig, Precision
from scratchlab.runs.identity import plain
from scratchlab.training import evaluate, kept, steps

log = logging.getLogger(__name__)

REVISION = 1
"""Raised when the same key would be given to other numbers."""
ROWS = 8
"""Examples that go through the frozen part together, whatever the run's batches are."""


class Depth(Enum):
    """What is kept of a row of T tokens."""

    states = "states"
    """What the first trainable block reads, or a head whose norm trains: (T, C)."""
    read = "read"
    """What the head reads at the one place where the class is read: (1, C)."""
    mean = "mean"
    """The mean of what a linear head reads: (1, C); it gives the mean of its logits."""


@dataclass(frozen=True)
class Prefix:
    """The frozen part of a classifier, and the rest of it."""

    model: Decoder
    machine: Compute
    position: Position
    blocks: int
    """How many blocks, from the first, are frozen."""
    depth: Depth

    @classmethod
    def of(cls, model: Decoder, machine: Compute, position: Position) -> "Prefix":
        blocks = max(0, min(model.first_trainable() - 1, len(model.blocks)))
        depth = Depth.states
        if blocks == len(model.blocks):
            norm_trains = any(parameter.requires_grad for parameter in model.final_norm.parameters())
            # in bfloat16 the mean of rounded logits is not the rounded logit of the mean
            exact = machine.config.precision is Precision.float32 and model.out_head is not None and not norm_trains
            if position is not Position.mean:
                depth = Depth.read
            elif exact:
                depth = Depth.mean
        return cls(model, machine, position, blocks, depth)

    def refusal(self, ids: Tensor) -> str:
        """Why nothing is gained, or nothing can be kept; empty where it can."""
        if not self.blocks:
            return "no block is frozen"
        return "the frozen blocks draw random numbers" * self._draws(ids)

    def _draws(self, ids: Tensor) -> bool:
        """Whether the frozen part draws in training, found by letting it; the generators are put back."""
        before, training = steps.draws(self.machine.device), self.model.training
        self.model.train()
        try:
            with torch.no_grad():
                self.states(ids)
            after = steps.draws(self.machine.device)
        finally:
            self.model.train(training)
            steps.set_draws(before)
        return any(not torch.equal(after[kind], state) for kind, state in before.items())

    @property
    def first_only(self) -> bool:
        """Whether the first token alone acts on the class: where it is read there, and no token sees a later one."""
        return self.position is Position.first and self.model.config.causal

    def seen(self, ids: Tensor) -> Tensor:
        """The tokens that can act on the class."""
        return ids[:, :1] if self.first_only else ids

    def states(self, ids: Tensor) -> Tensor:
        """Ids (B, T) through embedding and frozen blocks."""
        ids = ids.to(self.machine.device)
        with self.machine.autocast():
            positions = torch.arange(ids.shape[1], device=ids.device)
            x = self.model.embed(ids, positions)
            for block in self.model.blocks[: self.blocks]:
                x = block(x, positions)
        return x

    def __call__(self, ids: Tensor) -> Tensor:
        """What is kept of each row of ids (B, T): (B, T, C) or (B, 1, C)."""
        ids = self.seen(ids).to(self.machine.device)
        x = self.states(ids)
        match self.depth:
            case Depth.states:
                return x
            case Depth.read:
                return x[torch.arange(len(x), device=x.device), place(self.model, ids, self.position)][:, None]
            case Depth.mean:
                with self.machine.autocast():
                    return self.model.final_norm(x).mean(dim=1, keepdim=True)

    def logits_of(self, batch: Any) -> Tensor:
        """A batch of ids, labels, indices and what is kept of them to class logits (B, classes)."""
        ids, x = (batch[part].to(self.machine.device) for part in (0, 3))
        with self.machine.autocast():
            if self.depth is Depth.read:
                return self.model.head(x[:, 0])
            if self.depth is Depth.mean:
                assert self.model.out_head is not None
                return self.model.out_head(x[:, 0])
            positions = torch.arange(x.shape[1], device=x.device)
            for block in self.model.blocks[self.blocks :]:
                x = block(x, positions)
            return logits_at(self.model, x, ids, self.position)

    def hash(self) -> str:
        """Of all that acts on what is kept, but for the ids."""
        content = {
            "revision": REVISION,
            "torch": environment.versions()["torch"],
            "device": re.sub(r" \d+ threads", "", self.machine.name),
            "precision": self.machine.config.precision.name,
            "compile": self.machine.config.compile,
            "model": [type(self.model).__name__, plain(self.model.config)],
            "blocks": self.blocks,
            "depth": self.depth.name,
            "position": self.position.name if self.depth is Depth.read else "",
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
                digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class _Split:
    """One split, and the shape of what is kept of it."""

    key: str
    data: EncodedMessages
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


class WithKept(Dataset[Any]):
    """A split whose batches end with what is kept of their examples; fetched a batch at a time, as without."""

    def __init__(self, data: EncodedMessages, rows: Tensor, lengths: list[int]) -> None:
        self.data, self.rows, self.lengths = data, rows, lengths
        self.starts = [0, *accumulate(lengths)]

    def __len__(self) -> int:
        return len(self.data)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = [self.rows[self.starts[i] : self.starts[i + 1]] for i in indices]
        return (*self.data.__getitems__(indices), torch.stack(found))


Splits = Mapping[str, Dataset[Any]]


def reuse(
    model: Decoder, machine: Compute, position: Position, splits: Mapping[str, EncodedMessages]
) -> tuple[Splits, Callable[[Any], Tensor], str]:
    """What to make loaders of, what gives the class logits of their batches, and how that is computed.

    The last is a hash of the frozen part whose results are kept, or `off: ` and the reason.
    """
    settings: ComputeConfig = machine.config
    prefix = Prefix.of(model, machine, position)
    first = splits["train"].__getitems__([0])[0]
    reason = prefix.refusal(first) if settings.reuse_frozen else "compute.reuse_frozen=false"
    if not reason:
        shared = prefix.hash()
        with evaluate.evaluating(model):
            found = {name: _split(prefix, shared, data, prefix(first)) for name, data in splits.items()}
            try:
                sizes = {split.key: split.size for split in found.values()}
                if not (reason := kept.make_room(sizes, settings.frozen_gigabytes)):
                    return {name: _kept(prefix, split) for name, split in found.items()}, prefix.logits_of, shared
            except OSError as error:
                reason = f"it cannot be kept: {error}"
        log.warning("what %d frozen blocks give is computed again and again: %s", prefix.blocks, reason)
    return splits, evaluate.class_logits_of(model, machine, position), f"off: {reason}"


def _split(prefix: Prefix, shared: str, data: EncodedMessages, like: Tensor) -> _Split:
    ids = hashlib.sha256()
    for part in range(len(data)):
        ids.update(prefix.seen(data.__getitems__([part])[0]).numpy().tobytes() + b"|")
    one = prefix.first_only or prefix.depth is not Depth.states
    lengths = [1] * len(data) if one else data.lengths()
    return _Split(f"{shared[:24]}_{ids.hexdigest()[:24]}", data, lengths, like.shape[-1], like.dtype)


def _kept(prefix: Prefix, split: _Split) -> WithKept:
    def parts() -> Iterator[Tensor]:
        size = f"{split.size / kept.GIGABYTE:.3g} GB"
        log.info("keeping what %d frozen blocks give for %d examples: %s", prefix.blocks, len(split.data), size)
        rows = ROWS if len(set(split.data.lengths())) == 1 else 1  # rows of unequal length make no batch
        starts = range(0, len(split.data), rows)
        for start in progress(starts, total=len(starts), what="frozen blocks"):
            chosen = list(range(start, min(start + rows, len(split.data))))
            yield prefix(split.data.__getitems__(chosen)[0]).flatten(0, 1)

    about = f"{type(prefix.model).__name__}, {prefix.blocks} blocks, {prefix.depth.name} of {len(split.data)} examples"
    return WithKept(split.data, kept.take(split.key, split.shape, split.dtype, parts, about), split.lengths)
