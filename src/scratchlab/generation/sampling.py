"""From logits to text: probabilities, one token, many tokens with a key/value cache (chapter 5, exercises 5.1-5.3).

B rows still being written, T tokens, V vocabulary, L layers; other axes as in `model.decoder`.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from scratchlab.generation.config import SamplingConfig as SamplingConfig  # offered here too
from scratchlab.generation.writer import Writer
from scratchlab.model.decoder import Decoder
from scratchlab.model.rounded import rounded
from scratchlab.text.tokenizer import Tokenizer

_JOIN = 8
"""What part of the places must be free before waiting texts take them."""

Draw = Callable[[Tensor], Tensor]
"""From probabilities (B, V) to one token for each row."""


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


def texts(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    *,
    end_token: int | None = None,
    together: int | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """Continue each prompt, yielding (index of the prompt, new tokens) as soon as a text is complete.

    `together`: most texts written at the same time; when some are complete, waiting ones take their places, the
    shortest prompts first. Only where nothing is drawn, since draws hang on which texts are written together.

    Raises:
        ValueError: as `stream`; or `together` where tokens are drawn.
    """
    if together is not None and not config.deterministic:
        raise ValueError(f"together={together}: tokens that are drawn hang on it; possible: None")
    new: list[list[int]] = [[] for _ in prompts]
    for row, token in _written(model, prompts, config, end_token, together, draw):
        if token is None:
            yield row, new[row]
        else:
            new[row].append(token)


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
    for row, token in _written(model, prompts, config, end_token, None, draw):
        if token is not None:
            yield row, token


@torch.inference_mode()
def _written(
    model: Decoder,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    end_token: int | None,
    together: int | None,
    draw: Draw,
) -> Iterator[tuple[int, int | None]]:
    """Every token as it is chosen, and None when a row is complete."""
    _check(model, prompts, config)
    waiting = list(range(len(prompts)))
    if together is None:
        together = len(prompts)
    else:
        waiting.sort(key=lambda row: len(prompts[row]))
    training = model.training
    model.eval()
    try:
        with rounded(model):
            writer = Writer(model, [list(prompt) for prompt in prompts], config)
            active: list[int] = []
            while active or waiting:
                free = together - len(active)
                if free >= max(1, together // _JOIN):  # a few at a time: reading a single prompt is slow
                    active += waiting[:free]
                    del waiting[:free]
                chosen = choose(writer.logits(active), config, draw)
                ended = []
                for row, token in zip(active, chosen.tolist(), strict=True):
                    if token != end_token:
                        writer.append(row, token)
                        yield row, token
                    if token == end_token or len(writer.sequences[row]) == len(prompts[row]) + config.max_new_tokens:
                        ended.append(row)
                        yield row, None
                writer.drop(ended)
                active = [row for row in active if row not in ended]
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
