"""The table of verdicts and the coverage of the appendix, as cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scratchlab.book.exercises import EXERCISES, numbers
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
        counts = Counter(row["verdict"] for row in rows if row["experiment"] in names)
        if not names:
            state = "no experiment"
        elif not counts:
            state = "no claims"
        else:
            state = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        table.append([number, words, ", ".join(names), state])
    return table
