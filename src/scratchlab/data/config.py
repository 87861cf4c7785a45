"""Which data, split and padding, as plain dataclasses."""

from dataclasses import dataclass
from enum import Enum

from scratchlab.data import readers, sources
from scratchlab.data.sources import FILE, Source
from scratchlab.matching import nearest
from scratchlab.runs.identity import added

LEAST = 20
"""Entries that can be split in three."""
LEAST_GENERATED = 100
"""Generated messages that can be."""


class Split(Enum):
    """The two shuffles behind the book's numbers; their test sets share 61 of 300 messages."""

    notebook = "notebook"
    script = "script"


PADDING_WORDS = ("longest", "context", "none")


@dataclass(kw_only=True)
class MessagesConfig:
    """Labelled short messages for classification (chapter 6)."""

    source: str = "spam"
    """A data set of data/sources.py, or `file`: a CSV file of one's own."""
    path: str = added("")
    """file: where the CSV lies (UTF-8, with a header; tabs in a .tsv)."""
    text: str = added("text")
    """file: the column of the texts."""
    label: str = added("label")
    """file: the column of the labels; its different values are the classes, as many as there are."""
    split_column: str = added("")
    """file: the column that says `train`, `val` or `test` of each row; empty: shuffled, 70, 10 and 20 %."""
    size: int = 0
    """Generated messages: how many to make; others have as many as they have (0)."""
    split: Split = Split.script
    split_seed: int = 123
    """Seeds the balancing sample and the shuffles (and, for generated messages, the generator); not the run."""
    shuffle_labels: bool = False
    """Deal the training labels out at random: a control arm, which can learn nothing that helps on the test split."""
    pad_to: int | str = "longest"
    """`longest` training message, the model's `context`, `none` (batches of one), or a number of tokens."""

    def __post_init__(self) -> None:
        if isinstance(self.pad_to, str) and self.pad_to not in PADDING_WORDS:
            raise ValueError(
                f"data.pad_to={self.pad_to}: possible: {', '.join(PADDING_WORDS)} or a number of tokens"
                + nearest(self.pad_to, PADDING_WORDS, 0)
            )
        if isinstance(self.pad_to, int) and self.pad_to < 1:
            raise ValueError(f"data.pad_to={self.pad_to}: must be at least 1 token")
        own = {"text": self.text != "text", "label": self.label != "label", "split_column": bool(self.split_column)}
        if self.source != FILE and (given := [key for key, there in own.items() if there]):
            raise ValueError(
                f"data.{given[0]}={getattr(self, given[0])}: names a column of a file of one's own; "
                f"possible: data={sources.MESSAGES.own} data.path=FILE"
            )
        if self.chosen.generate and self.size < LEAST_GENERATED:
            raise ValueError(
                f"data.size={self.size}: data={self.source} needs at least {LEAST_GENERATED} messages to split"
            )
        if self.size and not self.chosen.generate:
            raise ValueError(
                f"data.size={self.size}: only generated messages, as of data=messages, are made to size; "
                f"{self.chosen.what} has {f'{self.chosen.count:,} rows' if self.chosen.count else 'what it has'}"
            )

    @property
    def chosen(self) -> Source:
        return sources.find(sources.MESSAGES, self.source, self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels 0, 1, ... are called; a file of one's own is read for it.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is malformed.
        """
        if self.source != FILE:
            return tuple(readers.LABELS)
        frame = readers.labelled(self.chosen.file(), self.text, self.label, self.split_column)
        return readers.classes(frame["Label"].tolist())

    def inputs(self) -> dict[str, str]:
        return self.chosen.inputs()


@dataclass(kw_only=True)
class CorpusConfig:
    """A text to be cut into windows (chapters 2 and 5)."""

    source: str = "verdict"
    """A data set of data/sources.py, or `file`: a UTF-8 text of one's own."""
    path: str = ""
    """file: where the text lies."""
    train_fraction: float = 0.9
    """Part of the characters, from the start, that is trained on; the rest is for validation."""

    def __post_init__(self) -> None:
        sources.find(sources.CORPUS, self.source, self.path)
        if not 0 < self.train_fraction < 1:
            raise ValueError(f"data.train_fraction={self.train_fraction}: must be above 0 and below 1")

    @property
    def chosen(self) -> Source:
        return sources.find(sources.CORPUS, self.source, self.path)

    def inputs(self) -> dict[str, str]:
        return self.chosen.inputs()


@dataclass(kw_only=True)
class InstructionsConfig:
    """Entries of instruction, input and output (chapter 7)."""

    source: str = "instructions"
    """A data set of data/sources.py, or `file`: a JSON list of one's own."""
    path: str = ""
    """file: where the entries lie."""
    size: int = 0
    """How many entries to use, from the start of the file; 0: all."""

    def __post_init__(self) -> None:
        sources.find(sources.ENTRIES, self.source, self.path)
        if self.size and self.size < LEAST:
            raise ValueError(
                f"data.size={self.size}: must be 0 (all entries), or at least {LEAST} to be split in three"
            )

    @property
    def chosen(self) -> Source:
        return sources.find(sources.ENTRIES, self.source, self.path)

    def inputs(self) -> dict[str, str]:
        return self.chosen.inputs()
