"""Train a byte-pair encoding on a text, and encode a sentence with it (chapter 2, bonus)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class BPE(Run):
    task: ClassVar[str] = "bpe"

    data: CorpusConfig
    """What it is trained on."""
    vocab_size: int = 1000
    across_words: bool = False
    """Take the text for one long word, so that a token may hold spaces anywhere, instead of one before a word."""
    text: str = "Jack embraced beauty through art and life."
    """What is encoded with it."""

    def __post_init__(self) -> None:
        at_least(1, self, "vocab_size")

    def inputs(self) -> dict[str, str]:
        return self.data.inputs()


def bpe(config: BPE, record: "Record") -> dict[str, Any]:
    from scratchlab.data import readers
    from scratchlab.text import bpe as encoding

    corpus = readers.text(config.data.chosen.file())
    trained = encoding.train(corpus, config.vocab_size, across_words=config.across_words)
    record.write_text(
        "vocabulary.txt", "".join(f"{number}\t{piece!r}\n" for number, piece in enumerate(trained.pieces))
    )
    ids = trained.encode(config.text)
    return {
        "vocabulary": len(trained.pieces),
        "merges": len(trained.merges),
        "ids": ids,
        "pieces": [trained.pieces[number] for number in ids],
        "tokens": len(ids),
        "characters": len(config.text),
        "decoded": trained.decode(ids),
        "longest_tokens": sorted(trained.pieces, key=len, reverse=True)[:5],
    }
