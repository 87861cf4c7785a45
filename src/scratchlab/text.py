"""The GPT-2 encoding, from whichever of its published files can be had."""

import json
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import fetch

if TYPE_CHECKING:
    import tiktoken

VOCAB_SIZE = 50257
END_OF_TEXT = 50256
"""The id of `<|endoftext|>`: ends a text, and pads."""


@cache
def encoding() -> "tiktoken.Encoding":
    """Return GPT-2's byte-pair encoding, 50,257 ids.

    It is read from vocab.bpe and encoder.json, or, where those cannot be had, from the same table as the Whisper
    package carries it. All give the same ids.

    Raises:
        FileNotFoundError: none of the files could be had; lists what was tried.
    """
    import tiktoken
    from tiktoken_ext.openai_public import r50k_pat_str

    return tiktoken.Encoding(
        name="gpt2",
        explicit_n_vocab=VOCAB_SIZE,
        pat_str=r50k_pat_str,
        mergeable_ranks=_ranks(),
        special_tokens={"<|endoftext|>": END_OF_TEXT},
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


def vocabulary_files() -> dict[str, str]:
    """`vocab.json` and `merges.txt`, in the form in which OpenAI published them and Hugging Face tokenizers read them.

    They follow from the encoding, whichever file that was read from: a token's rank is the place of its merge, and what
    is merged are the two pieces that all earlier merges leave of it.
    """
    ranks = _ranks()
    letters = _byte_letters()
    written = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            one, other = _pieces(token, ranks, below=rank)
            merges.append(f"{written[one]} {written[other]}")
    ids = {written[token]: rank for token, rank in ranks.items()} | {"<|endoftext|>": END_OF_TEXT}
    return {
        "vocab.json": json.dumps(dict(sorted(ids.items(), key=lambda item: item[1]))),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]),
    }


def _byte_letters() -> dict[int, str]:
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


def encode(text: str) -> list[int]:
    """Turn text into ids; `<|endoftext|>` in it becomes the end-of-text token, as in the book's loaders."""
    return encoding().encode(text, allowed_special={"<|endoftext|>"})


def check_vocab_size(size: int) -> None:
    """Raise ValueError if a model with that many tokens cannot read and write this encoding."""
    if size != VOCAB_SIZE:
        raise ValueError(
            f"model.vocab_size={size}: text is encoded with GPT-2's {VOCAB_SIZE} tokens; "
            f"possible: model.vocab_size={VOCAB_SIZE}"
        )
