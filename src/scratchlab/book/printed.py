"""What was printed besides the claims, from printed.yaml: tables, sentences about their cells, logs, commands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scratchlab.book.claims import Stated
from scratchlab.files import read_yaml
from scratchlab.runs.claim import Direction

IN_LOG = "_in_log"
"""Ending of a column that holds what the log of the same run has, where the table has another column without it."""


@dataclass(frozen=True)
class Table:
    """A printed table: its rows, each with an experiment whose claims are its cells, and with further cells."""

    name: str
    source: str
    rows: dict[Any, dict[str, Any]]

    def experiment(self, row: Any) -> str:
        """The experiment of a row; the row's own name where it has none."""
        return str(self.rows[row].get("experiment", row))

    def cells(self, row: Any) -> dict[str, float]:
        """The cells that stand in the row itself."""
        return {key: value for key, value in self.rows[row].items() if key != "experiment"}

    def cell(self, row: Any, metric: str, stated: Iterable[Stated]) -> float | None:
        """One cell, from the row or from the claims of its experiment; None if nothing is printed there."""
        if row not in self.rows:
            raise ValueError(f"table {self.name} has no row {row}; it has: {', '.join(map(str, self.rows))}")
        if metric in self.rows[row]:
            return float(self.rows[row][metric])
        of_row = (s.claim.value for s in stated if (s.experiment, s.claim.metric) == (self.experiment(row), metric))
        return next((float(value) for value in of_row if isinstance(value, int | float)), None)


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A few words about cells: what they say of pairs of rows, or numbers that repeat cells."""

    table: str
    text: str
    """Where it stands."""
    quote: str
    metric: str = ""
    less: str = ""
    """It is about `metric` less this one: a gap between two columns."""
    pairs: list[list[Any]] = field(default_factory=list)
    """Rows: what is spoken of and what it is held against; one row alone is held against the amount."""
    says: Direction = Direction.none
    cells: list[list[Any]] = field(default_factory=list)
    """Row and metric of each number in the quote, in their order."""


@dataclass(frozen=True, kw_only=True)
class Command:
    row: Any
    line: str
    source: str = ""
    """Where it stands, if not beside its table."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """The options of a script of the book, as its argument parser takes them."""

    name: str
    table: str
    values: dict[str, list[str]] = field(default_factory=dict)
    """Options that take one of these."""
    texts: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    """As printed for the rows of `table`."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    tables: dict[str, Table] = field(default_factory=dict)
    sentences: list[Sentence] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)


@dataclass(frozen=True)
class Slip:
    """Something printed that does not hold."""

    experiment: str
    rule: str
    metric: str
    text: str


def parse(content: dict[str, Any]) -> Printed:
    """Turn the content of such a file into its types."""
    return Printed(
        tables={name: Table(name, **table) for name, table in content["tables"].items()},
        sentences=[
            Sentence(**(one | {"quote": str(one["quote"]), "says": Direction[one.get("says", "none")]}))
            for one in content.get("sentences", [])
        ],
        scripts=[
            Script(name=name, **(script | {"commands": [Command(**one) for one in script.get("commands", [])]}))
            for name, script in content.get("scripts", {}).items()
        ],
    )


@cache
def read() -> Printed:
    """What this package knows of what was printed."""
    return parse(read_yaml(Path(__file__).parent / "printed.yaml"))
