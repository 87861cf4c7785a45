"""The table of verdicts, that of findings asked of another model, and the coverage of the appendix, as cells."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from scratchlab.book.exercises import EXERCISES, numbers, part
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.verdicts import Answer
from scratchlab.runs.checks import is_number
from scratchlab.runs.claim import ClaimKind
from scratchlab.runs.metrics import Metric, metric

COLUMNS = ["experiment", "claim", "published", "measured", "interval", "seeds", "verdict", "why"]
FINDING = ["experiment", "published words", "of", "asked as", "measured", "interval", "seeds", "answer", "why"]
SHORT = ["experiment", "claims", "verdict", "published \u2192 measured"]
Rows = Sequence[Mapping[str, Any]]


def apart(rows: Rows) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The lines about what was published, and those of findings asked of another model: two tables, two counts."""
    return [row for row in rows if not _is_finding(row)], [row for row in rows if _is_finding(row)]


def _is_finding(row: Mapping[str, Any]) -> bool:
    return bool(row["kind"] == ClaimKind.finding.name)


def cells(rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a table of verdicts, from the lines of verdicts.json."""
    return COLUMNS, [
        [
            row["experiment"],
            f"{row['metric']} ({row['kind']})",
            metric(row["metric"]).shown(row["reported"]),
            *_outcome(row, metric(row["metric"]).shown),
        ]
        for row in rows
    ]


def finding_cells(rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of the table of findings, from the lines of findings.json; measured are differences."""
    return FINDING, [
        [
            row["experiment"],
            f"\u201c{row['quote']}\u201d",
            f"{row['asks']} against {row['asks_versus']}",
            f"{row['metric']} {row['reported']}",
            *_outcome(row, partial(_difference, metric(row["metric"]))),
        ]
        for row in rows
    ]


def by_experiment(rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of the short table: a line an experiment of which something was judged."""
    judged: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["verdict"] != "NOT_RUN":
            judged.setdefault(row["experiment"], []).append(row)
    return SHORT, [[name, str(len(of)), _state([name], of), "; ".join(_numbers(of))] for name, of in judged.items()]


def _numbers(rows: Rows) -> list[str]:
    """How many values came out as printed, and the others, with what was printed."""
    equal, others = 0, []
    for row in rows:
        of = metric(row["metric"])
        sides = of.shown(row["reported"]), of.shown(row["measured"])
        if row["reported"] == row["measured"] or (sides[0] == sides[1] and is_number(row["measured"])):
            equal += 1
        else:
            others.append(f"{of.words} {sides[0]} \u2192 {sides[1]}")
    return [f"{equal} equal"] * bool(equal) + others


def _difference(of: Metric, value: Any) -> str:
    return of.difference(value) if isinstance(value, int | float) else of.shown(value)


def _outcome(row: Mapping[str, Any], shown: Callable[[Any], str]) -> list[str]:
    interval = row["interval"]
    return [
        shown(row["measured"]),
        f"{shown(interval[0])} to {shown(interval[1])}" if interval else "",
        ",".join(map(str, row["seeds"])),
        row["verdict"],
        ". ".join([row["reason"], *row.get("notes", [])]),
    ]


def finding_counts(rows: Rows) -> str:
    """How many findings have which answer, in words."""
    counts = Counter(row["verdict"] for row in rows)
    told = ", ".join(f"{counts[answer.name]} {answer.name}" for answer in Answer if counts[answer.name])
    return f"{len(rows)} published findings asked of another model, which are no claims reproduced or missed: {told}"


def not_run(rows: Rows) -> list[str]:
    """A line for every experiment of which nothing could be judged, with what it lacks."""
    why = Counter(
        (row["experiment"], "finding" if _is_finding(row) else "claim", row["reason"])
        for row in rows
        if row["verdict"] == "NOT_RUN"
    )
    return [
        f"NOT_RUN {name}, {count} {what}{'s' * (count > 1)}: {reason}" for (name, what, reason), count in why.items()
    ]


def coverage(rows: Rows, experiments: Mapping[str, Experiment]) -> list[list[str]]:
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
