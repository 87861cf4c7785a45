"""Turn a text into GPT-2's tokens and back (exercise 2.1)."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Tokenize(Run):
    task: ClassVar[str] = "tokenize"

    text: str = "Akwirw ier"


def tokenize(config: Tokenize, record: "Record") -> dict[str, Any]:
    from scratchlab.text.tokenizer import gpt2

    tokenizer = gpt2()  # the one that the exercise looks at
    ids = tokenizer.encode(config.text)
    raw = [tokenizer.token_bytes(i) for i in ids]
    pieces = [piece.decode("utf-8", errors="replace") for piece in raw]
    # a piece may be part of a character only, which no text can stand for
    alone = [
        tokenizer.encode(text) if text.encode() == piece else [i]
        for i, text, piece in zip(ids, pieces, raw, strict=True)
    ]
    decoded = tokenizer.decode(ids)
    for text, i in zip(pieces, ids, strict=True):
        log.info("%8d  %r", i, text)
    return {
        "ids": ids,
        "pieces": pieces,
        "ids_of_pieces": alone,
        "decoded": decoded,
        "round_trip": decoded == config.text,
        "tokens": len(ids),
        "characters": len(config.text),
    }
