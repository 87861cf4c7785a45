"""SmolLM2's tokenizer, from the metadata of the file that holds its weights."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import fetch
from scratchlab.assets.gguf_file import metadata
from scratchlab.text.tokenizer import Tokenizer, byte_letters

if TYPE_CHECKING:
    import tiktoken

VOCABULARY, END, MARKERS = 49152, 2, {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}
"""Known before the file is read, so that a configuration can be checked without it; `_read` compares."""
PATTERN = r"""\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"""
"""What is a piece of text: every digit is one, else as GPT-2's."""


@cache
def smollm2() -> Tokenizer:
    """SmolLM2's byte-pair encoding; `<|im_end|>` ends a text, and pads.

    Its vocabulary lacks 21 bytes: 13 occur in no text, the others are six control characters and the first bytes of two
    kinds of rare characters. They are left out of the ids and nothing merges across them, as in llama.cpp.
    """
    return Tokenizer("SmolLM2", VOCABULARY, end=END, pad=END, load=_encoding, files=_files, markers=MARKERS)


@dataclass(frozen=True)
class _Vocabulary:
    tokens: dict[bytes, int]
    special: dict[str, int]
    written: list[str]
    """Every token by its id, bytes as visible characters."""
    merges: list[str]
    chat_template: str


def _encoding() -> "tiktoken.Encoding":
    import tiktoken

    found = _read(fetch(catalogue.SMOLLM2))
    # tiktoken needs every byte: those that the vocabulary lacks stand beyond its end, where `Tokenizer` leaves them out
    absent = [bytes([byte]) for byte in range(256) if bytes([byte]) not in found.tokens]
    beyond = {byte: VOCABULARY + place for place, byte in enumerate(absent)}
    return tiktoken.Encoding(
        name="smollm2", pat_str=PATTERN, mergeable_ranks=found.tokens | beyond, special_tokens=found.special
    )


def _read(path: Path) -> _Vocabulary:
    def value(name: str) -> object:
        return metadata(path, f"tokenizer.{name}")

    written, kinds, merges = (metadata(path, f"tokenizer.ggml.{name}") for name in ("tokens", "token_type", "merges"))
    special = {token: i for i, (token, kind) in enumerate(zip(written, kinds, strict=True)) if kind == 3}
    found = (len(written), value("ggml.eos_token_id"), value("ggml.padding_token_id"))
    if found != (VOCABULARY, END, END) or MARKERS.items() - special.items():
        raise ValueError(f"{path}: tokens, end and padding are {found} instead of {(VOCABULARY, END, END)}")
    byte_of = {letter: byte for byte, letter in byte_letters().items()}
    tokens = {bytes(byte_of[c] for c in token): i for i, token in enumerate(written) if token not in special}
    # tiktoken merges in the order of the ids
    first = len(written) - len(merges)
    if [merge.replace(" ", "") for merge in merges] != written[first:]:
        raise ValueError(f"{path}: the merges do not stand in the order of the tokens' ids")
    return _Vocabulary(tokens, special, written, merges, str(value("chat_template")))


def _files(context_length: int) -> dict[str, str]:
    """`tokenizer.json`, and what says how it is used."""
    found = _read(fetch(catalogue.SMOLLM2))
    about = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    digits = {"type": "Digits", "individual_digits": True}
    pieces = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token} | about for token, i in found.special.items()],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, pieces]},
        "decoder": pieces,
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(found.written)},
            "merges": [merge.split(" ") for merge in found.merges],
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "eos_token": found.written[END],
        "pad_token": found.written[END],
        "chat_template": found.chat_template,
        "clean_up_tokenization_spaces": False,
    }
    return {
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(settings, indent=2) + "\n",
    }
