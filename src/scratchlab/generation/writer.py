"""The sequences being written, and for each the cheapest exact way to its next logits.

B rows still being written, T tokens, V vocabulary.
"""

import torch
from torch import Tensor

from scratchlab.generation.config import SamplingConfig
from scratchlab.model.cache import KeyValueCache
from scratchlab.model.decoder import Decoder

_TOKENS_AT_ONCE = 4096
"""Most tokens that go through the model in one call: bounds the memory of activations."""

_PADDING_AT_ONCE = 64
"""Padding tokens in one call from which a second call, which reads all weights again, is the cheaper way."""

_MORE_SLOTS = 32
"""Least slots that the caches gain at a time."""

_NEAR_TIE = 128
"""Distance below which two logits count as tied, in units of the last place of the one farthest from zero."""


class Writer:
    """The sequences being written, and for each the cheapest exact way to its next logits.

    A row goes through the cache while its sequence fits the context. After that the window slides, which moves every
    token to another position, so nothing kept is of use and the whole window is read anew.
    """

    def __init__(self, model: Decoder, sequences: list[list[int]], config: SamplingConfig) -> None:
        self.model = model
        self.sequences = sequences
        self.exact = config.deterministic
        # without the causal rule the old tokens' keys change with every new token
        self.cacheable = model.config.causal
        self.cached: list[int] = []
        """Rows whose keys and values are kept, in their places."""
        self.caches: list[KeyValueCache] = []
        longest = max((len(ids) for ids in sequences if len(ids) <= model.config.context_length), default=0)
        self.most_slots = min(model.config.context_length, longest + config.max_new_tokens - 1)

    def append(self, row: int, token: int) -> None:
        self.sequences[row].append(token)
        if len(self.sequences[row]) > self.model.config.context_length:
            self.drop([row])

    def drop(self, rows: list[int]) -> None:
        """Forget the keys and values of some rows: others take their places, so that those in use lie together."""
        staying = len(self.cached) - sum(row in rows for row in self.cached)
        holes = [place for place, row in enumerate(self.cached[:staying]) if row in rows]
        movers = [place for place, row in enumerate(self.cached) if place >= staying and row not in rows]
        for target, source in zip(holes, movers, strict=True):
            for cache in self.caches:
                cache.move(source, target, len(self.sequences[self.cached[source]]))
            self.cached[target] = self.cached[source]
        del self.cached[staying:]
        for cache in self.caches:
            cache.count = staying

    def logits(self, rows: list[int]) -> Tensor:
        """The next token's logits (B, V) for `rows`, in their order; those that are new are read from their start."""
        before = set(self.cached)
        context = self.model.config.context_length
        others = [row for row in rows if row not in before]
        joining = [row for row in others if self.cacheable and len(self.sequences[row]) <= context]
        sliding = [row for row in others if row not in joining]
        parts = []
        if self.cached:
            parts.append(self._step())
        if joining:
            parts.append(self._prefill(joining))
        where = {row: place for place, row in enumerate([*self.cached, *sliding])}
        if sliding:
            parts.append(self._read_windows(sliding))
        logits = parts[0] if len(parts) == 1 else torch.cat(parts)
        order = [where[row] for row in rows]
        if order != list(range(len(logits))):
            logits = logits[order]
        if self.exact and torch.finfo(logits.dtype).bits >= 32:
            self._settle_near_ties(rows, logits)
        return logits

    def _ids(self, sequences: list[list[int]]) -> Tensor:
        """Put sequences into one tensor (B, T), padded on the right, where the causal rule hides the padding."""
        length = max(map(len, sequences))
        padded = [ids + [0] * (length - len(ids)) for ids in sequences]
        return torch.tensor(padded, device=self.model.device)

    def _prefill(self, joining: list[int]) -> Tensor:
        """Read the prompts of some rows into the caches, behind those that are there; the logits after each (B, V)."""
        joining = sorted(joining, key=lambda row: len(self.sequences[row]))  # like lengths leave little padding
        first, parts, start = len(self.cached), [], 0
        self.cached += joining
        while start < len(joining):
            stop = self._chunk_end(joining, start)
            chunk = [self.sequences[row] for row in joining[start:stop]]
            ids = self._ids(chunk)
            positions = torch.arange(ids.shape[1], device=ids.device)
            x = self.model.embed(ids, positions)
            self._make_room(like=x)
            for block, cache in zip(self.model.blocks, self.caches, strict=True):
                x = block(x, positions, cache.rows(first + start, first + stop))
            last = torch.tensor([len(ids) - 1 for ids in chunk], device=x.device)
            parts.append(self.model.head(x[torch.arange(len(chunk), device=x.device), last]))
            start = stop
        return torch.cat(parts)

    def _make_room(self, like: Tensor) -> None:
        """Room for all cached rows as they are, and a few tokens more: most texts end long before the most they may."""
        rows, needed = len(self.cached), max(len(self.sequences[row]) for row in self.cached)
        slots = min(self.most_slots, needed + max(_MORE_SLOTS, needed // 2))
        if not self.caches:
            self.caches = self.model.new_cache(rows, slots, like=like)
        for cache in self.caches:
            if rows > len(cache.keys) or needed > cache.keys.shape[2]:
                cache.grow(rows, slots)
            cache.count = rows

    def _chunk_end(self, joining: list[int], start: int) -> int:
        """Where the rows that are read together with `start` end."""
        tokens = 0
        for stop in range(start, len(joining)):
            length = len(self.sequences[joining[stop]])  # the longest so far
            tokens += length
            padded = length * (stop + 1 - start)
            if stop > start and (padded > _TOKENS_AT_ONCE or padded - tokens > _PADDING_AT_ONCE):
                return stop
        return len(joining)

    def _step(self) -> Tensor:
        """Read the newest token of each cached row; the logits after it (B, V)."""
        newest = [self.sequences[row][-1] for row in self.cached]
        lengths = [len(self.sequences[row]) for row in self.cached]
        device = self.model.device
        positions = torch.tensor(lengths, device=device) - 1
        mask = None
        if min(lengths) < max(lengths):
            slots = torch.arange(max(lengths), device=device)
            mask = (slots <= positions[:, None])[:, None, None]  # (B, 1, 1, slots)
        x = self.model.embed(torch.tensor(newest, device=device)[:, None], positions[:, None])  # (B, 1, C)
        self._make_room(like=x)
        for block, cache in zip(self.model.blocks, self.caches, strict=True):
            cache.positions, cache.length = positions, max(lengths)
            x = block(x, positions[:, None], cache, mask)
        return self.model.head(x[:, -1])

    def _read_windows(self, rows: list[int]) -> Tensor:
        """Read what each row has in sight from its start; the logits after it (B, V)."""
        parts = []  # one row at a time: a full window is work enough for the machine, and needs no padding
        for row in rows:
            parts.append(self.model.head(self.model.states(self._window(row))[:, -1]))
        return torch.cat(parts)

    def _window(self, row: int) -> Tensor:
        return self._ids([self.sequences[row][-self.model.config.context_length :]])

    def _settle_near_ties(self, rows: list[int], logits: Tensor) -> None:
        """Where rounding might decide which logit is the largest, take the logits that the book's loop computes."""
        least, best = logits.aminmax(dim=-1, keepdim=True)
        margin = _NEAR_TIE * torch.finfo(logits.dtype).eps * torch.maximum(best.abs(), least.abs())
        tied = (logits >= best - margin).sum(dim=-1) > 1
        for index in tied.nonzero()[:, 0].tolist():
            logits[index] = self.model(self._window(rows[index]))[0, -1]
