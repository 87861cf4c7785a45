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
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from scratchlab.data.spam import EncodedMessages
from scratchlab.files import size
from scratchlab.model.classifier import logits_from, needed, place
from scratchlab.model.compute import Compute
from scratchlab.model.config import Position
from scratchlab.model.decoder import Decoder
from scratchlab.progress import progress
from scratchlab.runs import environment
from scratchlab.runs.config import ComputeConfig, Precision
from scratchlab.runs.identity import plain
from scratchlab.training import evaluate, kept, steps
from scratchlab.training.kept_split import KeptSplit, WithKept

log = logging.getLogger(__name__)

REVISION = 1
"""Raised when the same key would be given to other numbers."""


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

    def refusal(self) -> str:
        """Why nothing is gained, or nothing can be kept; empty where it can."""
        if not self.blocks:
            return "no block is frozen"
        one = torch.zeros(1, 1, dtype=torch.long)
        draws = steps.draws_in_training(self.model, lambda: self.states(one, self.blocks))
        return "the frozen blocks draw random numbers" * draws

    def seen(self, row: Tensor) -> Tensor:
        """The tokens of a row (T) that can act on the class."""
        return row[: needed(self.model, row[None], self.position)]

    def states(self, ids: Tensor, blocks: int, begun: Tensor | None = None, done: int = 0) -> Tensor:
        """Ids (B, T) through embedding and the first `blocks` blocks, (B, T, C); `begun`: what `done` of them gave."""
        ids = ids.to(self.machine.device)
        with self.machine.autocast():
            positions = torch.arange(ids.shape[1], device=ids.device)
            x = self.model.embed(ids, positions) if begun is None else begun.to(ids.device)
            for block in self.model.blocks[done:blocks]:
                x = block(x, positions)
        return x

    def __call__(self, rows: list[Tensor], begun: list[Tensor] | None = None, done: int = 0) -> Tensor:
        """What is kept of rows of tokens, one row after the other: (all their tokens or rows, C).

        Rows of unequal length are padded, which acts on nothing where no token sees a later one. `begun`: what the
        first `done` blocks gave for the rows, (T, C) each.
        """
        ids = pad_sequence(rows, batch_first=True)
        start = None if begun is None else pad_sequence(begun, batch_first=True)
        match self.depth:
            case Depth.states:
                x = self.states(ids, self.blocks, start, done)
                return torch.cat([row[: len(tokens)] for row, tokens in zip(x, rows, strict=True)])
            case Depth.read:
                at = torch.cat([place(self.model, row[None], self.position) for row in rows]).to(self.machine.device)
                x = self.states(ids, self.blocks - 1, start, done)
                with self.machine.autocast():
                    return self.model.blocks[-1].forward_at(x, torch.arange(ids.shape[1], device=x.device), at)
            case Depth.mean:
                x = self.states(ids, self.blocks)
                with self.machine.autocast():
                    return self.model.final_norm(x).mean(dim=1)

    def class_logits_of(self) -> Callable[[Any], Tensor]:
        """A batch of ids, labels, indices and what is kept of them to class logits (B, classes)."""
        only_needed = evaluate.needed_only(self.model, self.machine)

        def logits_of(batch: Any) -> Tensor:
            ids, x = (batch[part].to(self.machine.device) for part in (0, 3))
            with self.machine.autocast():
                if self.depth is Depth.read:
                    return self.model.head(x[:, 0])
                if self.depth is Depth.mean:
                    assert self.model.out_head is not None
                    return self.model.out_head(x[:, 0])
                return logits_from(self.model, x, ids, self.position, done=self.blocks, only_needed=only_needed())

        return logits_of

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
        after = {*self.model.final_norm.parameters()} if self.depth is Depth.states else set[nn.Parameter]()
        after |= {parameter for block in self.model.blocks[self.blocks :] for parameter in block.parameters()}
        for name, parameter in self.model.named_parameters():
            if not (parameter.requires_grad or parameter in after):
                digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
                digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Shortened:
    """A classification with all that may be left out left out."""

    splits: Mapping[str, Dataset[Any]]
    """What to make loaders of."""
    logits_of: Callable[[Any], Tensor]
    """A batch of theirs to class logits (B, classes)."""
    lengths: Callable[[Tensor], Tensor] | None
    """As in `evaluate.predict`; None where batches of like length gain nothing."""
    computed: dict[str, Any]
    """`reuse_frozen`: a hash of the frozen part whose results are kept, or `off: ` and the reason; `only_needed`."""


def shorten(model: Decoder, machine: Compute, position: Position, splits: Mapping[str, EncodedMessages]) -> Shortened:
    """Keep what frozen blocks give, where that is possible, and leave out what cannot act on the class."""
    prefix = Prefix.of(model, machine, position)
    settings: ComputeConfig = machine.config
    computed = {"only_needed": settings.only_needed}
    reason = "compute.shard=true" if settings.shard else "" if settings.reuse_frozen else "compute.reuse_frozen=false"
    reason = reason or prefix.refusal()
    if not reason:
        try:
            with evaluate.evaluating(model):
                shared = prefix.hash()
                like = prefix([splits["train"].row(0)[:1]])
                found = {name: _split(prefix, shared, data, like) for name, data in splits.items()}
                sizes = {split.key: split.size for split in found.values()}
                if not (reason := kept.make_room(sizes, settings.frozen_gigabytes)):
                    with_kept = {name: _kept(prefix, split) for name, split in found.items()}
                    return Shortened(with_kept, prefix.class_logits_of(), None, computed | {"reuse_frozen": shared})
        except OSError as error:
            reason = f"it cannot be kept: {error}"
        log.warning("what %d frozen blocks give is computed again and again: %s", prefix.blocks, reason)

    def lengths(ids: Tensor) -> Tensor:
        return place(model, ids, position)

    logits_of = evaluate.class_logits_of(model, machine, position)
    padded = all(isinstance(split.rows, Tensor) for split in splits.values())
    by_length = settings.only_needed and padded and position is Position.last_real and model.config.causal
    return Shortened(splits, logits_of, lengths if by_length else None, computed | {"reuse_frozen": f"off: {reason}"})


def _split(prefix: Prefix, shared: str, data: EncodedMessages, like: Tensor) -> KeptSplit:
    seen = [prefix.seen(data.row(i)) for i in range(len(data))]
    ids = hashlib.sha256()
    for row in seen:
        ids.update(row.numpy().tobytes() + b"|")
    lengths = [len(row) if prefix.depth is Depth.states else 1 for row in seen]
    return KeptSplit(f"{shared[:24]}_{ids.hexdigest()[:24]}", data, seen, lengths, like.shape[-1], like.dtype)


def _kept(prefix: Prefix, split: KeptSplit) -> WithKept:
    def parts() -> Iterator[Tensor]:
        found = _base(prefix, split)
        told = size(split.size) + (f", from what {found[1]} gave" if found else "")
        log.info("keeping what %d frozen blocks give for %d examples: %s", prefix.blocks, len(split.data), told)
        groups = list(split.groups(padded=prefix.model.config.causal and prefix.depth is not Depth.mean))
        for group in progress(groups, total=len(groups), what="frozen blocks"):
            rows = [split.seen[i] for i in group]
            if found is None:
                yield prefix(rows)
            else:
                base, done = found
                yield prefix(rows, [base.of(i) for i in group], done)
                base.kept.release()

    about = f"{type(prefix.model).__name__}, {prefix.blocks} blocks, {prefix.depth.name} of {len(split.data)} examples"
    return WithKept(split, kept.take(split.key, split.shape, split.dtype, parts, about))


def _base(prefix: Prefix, split: KeptSplit) -> tuple[WithKept, int] | None:
    """What fewer blocks gave for the same examples in the same groups, if that is kept, and how many blocks."""
    ids = split.key.partition("_")[2]
    there = {entry.key for entry in kept.entries() if entry.about and entry.key.endswith(ids)}
    if not there or prefix.depth is Depth.mean:  # a mean's examples go in other groups
        return None
    for blocks in range(prefix.blocks - 1, 0, -1):
        fewer = replace(prefix, blocks=blocks, depth=Depth.states)
        if (key := f"{fewer.hash()[:24]}_{ids}") in there:
            like, lengths = fewer([split.seen[0][:1]]), [len(row) for row in split.seen]
            return _kept(fewer, replace(split, key=key, lengths=lengths, dtype=like.dtype)), blocks
    return None
