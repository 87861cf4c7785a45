"""What each experiment took on a named machine: read from a table that was made from records, never guessed."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import get_type_hints

from scratchlab.files import resource, size, write_atomically

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Cost:
    """What the runs of an experiment, as published, took."""

    experiment: str
    machine: str
    device: str
    runs: int
    seconds: float
    """Median over the runs, from the command's record."""
    most_seconds: float
    """Of the run that took longest: often the first, which computes what frozen blocks give."""
    memory: int
    """Bytes at the peak, the most of all runs."""
    disk: int
    """Bytes of a run's folder, the most of all runs."""

    @property
    def time(self) -> str:
        most = minutes(self.most_seconds)
        return most if minutes(self.seconds) == most else f"{minutes(self.seconds)} (at most {most})"

    @property
    def in_short(self) -> str:
        return f"{self.time}, {size(self.memory)}"


def minutes(seconds: float) -> str:
    """A time in the unit that a person plans in."""
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"


def place() -> Path:
    """The table, which lies beside the experiments."""
    return resource("experiments") / "resources.csv"


@cache
def read() -> dict[str, Cost]:
    """What was measured, by experiment."""
    with place().open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = get_type_hints(Cost)
    costs = (Cost(**{name: kind(row[name]) for name, kind in kinds.items()}) for row in rows)
    return {cost.experiment: cost for cost in costs}


def write(costs: Iterable[Cost]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, [part.name for part in fields(Cost)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(cost) for cost in sorted(costs, key=lambda cost: cost.experiment))
    write_atomically(place(), text.getvalue())
