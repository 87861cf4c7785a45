"""From logits to text: probabilities, one token, many tokens with a key/value cache (chapter 5, exercises 5.1-5.3).

B rows still being written, T tokens, V vocabulary, L layers; other axes as in `model.decoder`.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from scratchlab.generation.config import SamplingConfig as SamplingConfig  # offered here too
from scratchlab.model.cache import KeyValueCache
from scratchlab.model.decoder import Decoder
from scratchlab.text.tokenizer import Tokenizer

Draw = Callable[[Tensor], Tensor]
"""From probabilities (B, V) to one token for each row."""

_TOKENS_AT_ONCE = 4096
"""Most tokens that go through the model in one call: bounds the memory of activations."""

_PADDING_AT_ONCE = 64
"""Padding tokens in one call from which a second call, which reads all weights again, is the cheaper way."""

_NEAR_TIE = 128
"""Distance below which two logits count as tied, in units of the last place of the one farthest from zero."""


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set to -inf whatever in (..., V) is below the k-th largest value; what ties with that value stays.

    Raises:
        ValueError: k is above V.
    """
    if k > logits.shape[-1]:
        raise ValueError(f"sampling.top_k={k}: there are only {logits.shape[-1]:,} tokens to choose from")
    threshold = logits.topk(k).values[..., -1:]
    return logits.masked_fill(logits < threshold, float("-inf"))


def probabilities(logits: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """Turn logits (..., V) into the probabilities that `choose` draws from.

    Raises:
        ValueError: temperature is not above 0, where there is nothing to draw; or k is above V.
    """
    if temperature <= 0:
        raise ValueError(
            f"temperature {temperature}: probabilities need one above 0; at 0 the likeliest token is taken"
        )
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    return torch.softmax(logits / temperature, dim=-1)


def draw(wanted: Tensor) -> Tensor:
    """Draw one token for each row of probabilities (B, V), from torch's global generator."""
    return torch.multinomial(wanted, 1)[:, 0]


def choose(logits: Tensor, config: SamplingConfig, draw: Draw = draw) -> Tensor:
    """Choose one token for each row of (B, V)."""
    if config.temperature == 0:
        return logits.argmax(dim=-1)  # top-k always keeps the likeliest
    return draw(probabilities(logits, config.temperature, config.top_k))


def to_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Turn tokens into pieces of text as they come; a character spread over several tokens comes with the last one."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        if piece := decoder.decode(tokenizer.token_bytes(token)):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def generate(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    *,
    end_token: int | None = None,
    draw: Draw = draw,
) -> list[list[int]]:
    """Continue each prompt; return the new tokens only, without the end token. Otherwise as `stream`."""
    new: list[list[int]] = [[] for _ in prompts]
    for row, token in stream(model, prompts, config, end_token=end_token, draw=draw):
        new[row].append(token)
    return new


@torch.inference_mode()
def stream(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    *,
    end_token: int | None = None,
    draw: Draw = draw,
) -> Iterator[tuple[int, int]]:
    """Continue each prompt, yielding (index of the prompt, token) as soon as a token is chosen.

    `end_token` stops its row and is not yielded. Prompts may differ in length. The model reads at most its last
    `context_length` tokens, is put into evaluation mode, and goes back at the end.

    Without randomness (temperature 0 or top-k 1) and in float32 or float64 every row gets the tokens that the book's
    loop would give it alone, without cache: a choice so close that rounding could turn it is made from the very
    computation of that loop. Draws come, unless `draw` has others, from torch's global generator, one call a step for
    the rows still being written, in the order of the prompts; so a single prompt gets the draws of the book's loop, and
    its tokens as long as no draw falls within rounding errors of the border between two tokens.

    Raises:
        ValueError: an empty prompt, an id outside the vocabulary, or a top-k above it.

    Source: chapter 5, `generate`.
    """
    _check(model, prompts, config)
    training = model.training
    model.eval()
    try:
        writer = _Writer(model, [list(prompt) for prompt in prompts], config)
        active = list(range(len(prompts)))
        for _ in range(config.max_new_tokens):
            if not active:
                break
            chosen = choose(writer.logits(active), config, draw).tolist()
            for row, token in zip(active, chosen, strict=True):
                if token == end_token:
                    writer.drop(row)
                else:
                    writer.append(row, token)
                    yield row, token
            active = [row for row, token in zip(active, chosen, strict=True) if token != end_token]
    finally:
        model.train(training)


def _check(model: Decoder, prompts: Sequence[Sequence[int]], config: SamplingConfig) -> None:
    vocab = model.config.vocab_size
    if config.top_k is not None and config.top_k > vocab:
        raise ValueError(f"sampling.top_k={config.top_k}: the model has only {vocab:,} tokens to choose from")
    for index, prompt in enumerate(prompts):
        if not len(prompt):
            raise ValueError(f"prompt {index} is empty; the model needs at least one token to continue from")
        if wrong := [token for token in prompt if not 0 <= token < vocab]:
            raise ValueError(f"prompt {index} has the ids {wrong[:5]}; possible: 0 to {vocab - 1}")


class _Writer:
    """The sequences being written, and for each the cheapest exact way to its next logits.

    A row goes through the cache while its sequence fits the context. After that the window slides, which moves every
    token to another position, so nothing kept is of use and the whole window is read anew.
    """

    def __init__(self, model: Decoder, sequences: list[list[int]], config: SamplingConfig) -> None:
        self.model = model
        self.sequences = sequences
        self.exact = config.deterministic
        context = model.config.context_length
        # without the causal rule the old tokens' keys change with every new token
        self.cached = [row for row, ids in enumerate(sequences) if model.config.causal and len(ids) <= context]
        # rows of like lengths side by side leave little padding
        self.cached.sort(key=lambda row: len(sequences[row]))
        longest = max((len(sequences[row]) for row in self.cached), default=0)
        self.slots = min(context, longest + config.max_new_tokens - 1)
        self.caches: list[KeyValueCache] = []

    def append(self, row: int, token: int) -> None:
        self.sequences[row].append(token)
        if len(self.sequences[row]) > self.model.config.context_length:
            self.drop(row)

    def drop(self, row: int) -> None:
        """Forget a row's keys and values: the last cached row takes its place."""
        if row not in self.cached:
            return
        place = self.cached.index(row)
        for cache in self.caches:
            cache.drop(place)
        self.cached[place] = self.cached[-1]
        self.cached.pop()

    def logits(self, rows: list[int]) -> Tensor:
        """The next token's logits (B, V) for `rows`, in their order."""
        where = {row: place for place, row in enumerate(self.cached)}
        sliding = [row for row in rows if row not in where]
        parts = []
        if self.cached:
            parts.append(self._step() if self.caches else self._prefill())
        if sliding:
            where |= {row: len(self.cached) + place for place, row in enumerate(sliding)}
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

    def _prefill(self) -> Tensor:
        """Read the cached rows' prompts and fill the caches; the logits after each (B, V)."""
        parts = []
        start = 0
        while start < len(self.cached):
            stop = self._chunk_end(start)
            chunk = [self.sequences[row] for row in self.cached[start:stop]]
            ids = self._ids(chunk)
            positions = torch.arange(ids.shape[1], device=ids.device)
            x = self.model.embed(ids, positions)
            if not self.caches:
                self.caches = self.model.new_cache(len(self.cached), self.slots, like=x)
            for block, cache in zip(self.model.blocks, self.caches, strict=True):
                x = block(x, positions, cache.rows(start, stop))
            last = torch.tensor([len(ids) - 1 for ids in chunk], device=x.device)
            parts.append(self.model.head(x[torch.arange(len(chunk), device=x.device), last]))
            start = stop
        return torch.cat(parts)

    def _chunk_end(self, start: int) -> int:
        """Where the cached rows that are read together with `start` end."""
        tokens = 0
        for stop in range(start, len(self.cached)):
            length = len(self.sequences[self.cached[stop]])  # the longest so far
            tokens += length
            padded = length * (stop + 1 - start)
            if stop > start and (padded > _TOKENS_AT_ONCE or padded - tokens > _PADDING_AT_ONCE):
                return stop
        return len(self.cached)

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
