"""The table of verdicts and the coverage of the appendix, as cells."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scratchlab.exercises import EXERCISES, numbers
from scratchlab.experiments import Experiment

COLUMNS = ["experiment", "claim", "published", "measured", "interval", "seeds", "verdict", "why"]


def cells(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a table of verdicts, from the lines of verdicts.json."""
    table = []
    for row in rows:
        interval = row["interval"]
        table.append(
            [
                row["experiment"],
                f"{row['metric']} ({row['kind']})",
                value(row["metric"], row["reported"]),
                value(row["metric"], row["measured"]),
                f"{value(row['metric'], interval[0])} to {value(row['metric'], interval[1])}" if interval else "",
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


def value(metric: str, number: Any) -> str:
    """A number or text for a cell; accuracies in percent, long lists cut."""
    if number is None:
        return "-"
    if isinstance(number, float):
        return f"{100 * number:.2f}%" if metric.endswith("accuracy") else f"{number:.6g}"
    text = f"{number:,}" if isinstance(number, int) and not isinstance(number, bool) else str(number)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
