"""How a model reads and writes text; and GPT-2's way, from whichever of its published files can be had."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import fetch

if TYPE_CHECKING:
    import tiktoken


@dataclass(frozen=True)
class Tokenizer:
    """An encoding, and what its special tokens are for. Nothing is loaded before it is asked for."""

    name: str
    vocab_size: int
    end: int
    """The id that ends a text."""
    pad: int
    """The id that fills up a row to the length of the others."""
    load: Callable[[], "tiktoken.Encoding"]
    """Make the encoding; called once."""
    files: Callable[[int], dict[str, str]]
    """The files, name and content, from which `transformers` makes the same tokenizer; given the context length."""
    markers: Mapping[str, int] = field(default_factory=dict)
    """Special tokens that a prompt template may use, as text and id."""

    @cached_property
    def encoding(self) -> "tiktoken.Encoding":
        """The encoding itself.

        Raises:
            FileNotFoundError: its files could not be had; lists what was tried.
        """
        return self.load()

    def encode(self, text: str) -> list[int]:
        """Turn text into ids; where it names the end token (`<|endoftext|>`), that is one, as in the book's loaders."""
        ids = self.encoding.encode(text, allowed_special={self.decode([self.end])}, disallowed_special=())
        return self._known(ids)

    def encode_plain(self, text: str) -> list[int]:
        """Turn text into ids; what reads like a special token is text like any other."""
        return self._known(self.encoding.encode_ordinary(text))

    def encode_parts(self, parts: Iterable[tuple[str, bool]]) -> list[int]:
        """Turn a text in parts into ids; in those that are marked True, `markers` are special tokens.

        All else is one text, whatever part it comes from.
        """
        splits = "|".join(map(re.escape, self.markers)) or r"(?!)"
        ids, waiting = [], ""
        for text, own in parts:
            for piece in re.split(f"({splits})", text) if own else [text]:
                if own and piece in self.markers:
                    ids += [*self.encode_plain(waiting), self.markers[piece]]
                    waiting = ""
                else:
                    waiting += piece
        return ids + self.encode_plain(waiting)

    def _known(self, ids: list[int]) -> list[int]:
        """Without bytes that the vocabulary lacks; an encoding has those beyond its end."""
        return ids if self.encoding.n_vocab == self.vocab_size else [i for i in ids if i < self.vocab_size]

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids into text; bytes that are no character become a replacement mark."""
        return self.encoding.decode(ids)

    def token_bytes(self, token: int) -> bytes:
        """What one id stands for: part of a character, it may be."""
        return self.encoding.decode_single_token_bytes(token)


_END_TEXT, _END = "<|endoftext|>", 50256


@cache
def gpt2() -> Tokenizer:
    """GPT-2's byte-pair encoding; `<|endoftext|>` ends a text, and pads."""
    return Tokenizer("GPT-2", _END + 1, end=_END, pad=_END, load=_encoding, files=_files)


def _encoding() -> "tiktoken.Encoding":
    """Read it from vocab.bpe and encoder.json, or the Whisper package's form of that table: all give the same ids."""
    import tiktoken
    from tiktoken_ext.openai_public import r50k_pat_str

    return tiktoken.Encoding(
        name="gpt2",
        explicit_n_vocab=_END + 1,
        pat_str=r50k_pat_str,
        mergeable_ranks=_ranks(),
        special_tokens={_END_TEXT: _END},
    )


def _ranks() -> dict[bytes, int]:
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks, load_tiktoken_bpe

    # a file that lies at hand, in any of the three forms, spares the network
    problems = []
    for local_only in (True, False):
        for files in ((catalogue.VOCAB_BPE, catalogue.ENCODER_JSON), (catalogue.GPT2_TIKTOKEN,)):
            try:
                paths = [str(fetch(file, local_only=local_only)) for file in files]
            except FileNotFoundError as error:
                problems.append(str(error))
                continue
            if len(paths) == 1:
                return load_tiktoken_bpe(paths[0])
            return data_gym_to_mergeable_bpe_ranks(paths[0], paths[1])
    raise FileNotFoundError("no GPT-2 vocabulary: " + "\n".join(problems[2:]))


def _files(context_length: int) -> dict[str, str]:
    """`vocab.json` and `merges.txt`, in the form in which OpenAI published them, and what says which kind they are.

    They follow from the encoding, whichever file that was read from: a token's rank is the place of its merge, and what
    is merged are the two pieces that all earlier merges leave of it.
    """
    ranks = _ranks()
    letters = byte_letters()
    written = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            one, other = _pieces(token, ranks, below=rank)
            merges.append(f"{written[one]} {written[other]}")
    ids = {written[token]: rank for token, rank in ranks.items()} | {_END_TEXT: _END}
    about = {"tokenizer_class": "GPT2Tokenizer", "model_max_length": context_length}
    return {
        "vocab.json": json.dumps(dict(sorted(ids.items(), key=lambda item: item[1]))),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
        "tokenizer_config.json": json.dumps(about, indent=2) + "\n",
    }


def byte_letters() -> dict[int, str]:
    """A visible character for every byte, as OpenAI chose them: itself, or for the others one from 256 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def _pieces(token: bytes, ranks: dict[bytes, int], *, below: int) -> list[bytes]:
    """What the merges of a rank below `below` leave of a token."""
    parts = [bytes([byte]) for byte in token]
    while True:
        pairs = [(ranks.get(one + other, below), place) for place, (one, other) in enumerate(pairwise(parts))]
        rank, place = min(pairs, default=(below, 0))
        if rank >= below:
            return parts
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
