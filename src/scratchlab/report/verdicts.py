"""The table of verdicts and the coverage of the appendix, as cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scratchlab.book.exercises import EXERCISES, numbers, part
from scratchlab.book.experiments import Experiment
from scratchlab.runs.metrics import metric

COLUMNS = ["experiment", "claim", "published", "measured", "interval", "seeds", "verdict", "why"]


def cells(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a table of verdicts, from the lines of verdicts.json."""
    table = []
    for row in rows:
        interval, shown = row["interval"], metric(row["metric"]).shown
        table.append(
            [
                row["experiment"],
                f"{row['metric']} ({row['kind']})",
                shown(row["reported"]),
                shown(row["measured"]),
                f"{shown(interval[0])} to {shown(interval[1])}" if interval else "",
                ",".join(map(str, row["seeds"])),
                row["verdict"],
                ". ".join([row["reason"], *row.get("notes", [])]),
            ]
        )
    return COLUMNS, table


def not_run(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for every experiment of which nothing could be judged, with what it lacks."""
    why: dict[tuple[str, str], int] = Counter((r["experiment"], r["reason"]) for r in rows if r["verdict"] == "NOT_RUN")
    return [f"NOT_RUN {name}, {count} claims: {reason}" for (name, reason), count in why.items()]


def coverage(rows: Sequence[Mapping[str, Any]], experiments: Mapping[str, Experiment]) -> list[list[str]]:
    """One line an exercise of the appendix: number, what it is about, its experiments, the state of their claims."""
    table = []
    for number, words in EXERCISES.items():
        names = [name for name, experiment in experiments.items() if number in numbers(experiment.exercise)]
        table.append([number, words, ", ".join(names), _state(names, rows) if names else "no experiment"])
    return table


def beyond(rows: Sequence[Mapping[str, Any]], experiments: Mapping[str, Experiment]) -> list[list[str]]:
    """One line a part of the book that no exercise is about: part, its experiments, the state of their claims."""
    parts: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        if not numbers(experiment.exercise) and (of := part(name)):
            parts.setdefault(of, []).append(name)
    return [[of, ", ".join(names), _state(names, rows)] for of, names in sorted(parts.items())]


def _state(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(row["verdict"] for row in rows if row["experiment"] in names)
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()) or "no claims"
