"""A comparison to paste: a long CSV for programs, Markdown for a pull request, LaTeX for a paper."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scratchlab.evidence.gather import Comparison
from scratchlab.report import tables
from scratchlab.report.text import as_markdown, latex
from scratchlab.runs.metrics import metric as declaration

LONG = (
    *("task", "arm", "name", "metric", "unit", "seeds", "n", "mean", "sd", "diverged"),
    *("baseline", "difference", "low", "high", "p", "p_holm", "finding"),
)
"""Columns of the CSV. Fractions stay fractions; a difference stands only at the metric that is compared."""


def long_csv(found: Sequence[Comparison], shown: Sequence[str] = ()) -> str:
    """A line for each arm and metric (`shown`: only these and the one compared), and nothing rounded."""
    table = io.StringIO()
    writer = csv.DictWriter(table, LONG, lineterminator="\n")
    writer.writeheader()
    for one in found:
        for arm, row in zip(ordered(one), one.rows, strict=True):
            for name, value in row["metrics"].items():
                if not shown or name == one.metric or name in shown:
                    writer.writerow(_line(one, row, arm.name, name, value))
    return table.getvalue()


def ordered(found: Comparison) -> list[Any]:
    """The arms in the order of the rows."""
    return [found.baseline, *(arm for arm in found.arms if arm is not found.baseline)]


def _line(one: Comparison, row: Mapping[str, Any], run: str, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    line = {
        **{"task": one.task, "arm": row["name"], "name": run, "metric": name, "unit": declaration(name).unit.name},
        **{"seeds": " ".join(map(str, row["seeds"])), "n": value["n"], "mean": value["mean"], "sd": value["spread"]},
        "diverged": value.get("diverged", 0),
    }
    if name == one.metric and (delta := row["delta"]):
        low, high = delta["interval"] or (None, None)
        line |= {"baseline": one.baseline.label, "difference": delta["value"], "low": low, "high": high}
        line |= {"p": delta["p"], "p_holm": delta["p_holm"]}
    if name == one.metric:
        line["finding"] = row["finding"]
    return line


def markdown(found: Comparison, shown: Sequence[str] = ()) -> str:
    """The short table, and below it a note for each arm that has one."""
    columns, cells = tables.short(found, shown)
    cells, notes = _numbered(found, cells)
    lines = [f"**{tables.title(found)}**", "", as_markdown(columns, cells).rstrip("\n"), ""]
    lines += [f"{number}. {text}" for number, text in enumerate(notes, start=1)]
    return "\n".join(lines).rstrip("\n") + "\n"


def latex_table(found: Comparison, shown: Sequence[str] = ()) -> str:
    """A `table` with rules of `booktabs`: six columns and those asked for, what was found and notes below."""
    columns, cells = tables.short(found, shown)
    finding = columns.index("finding")
    cells, notes = _numbered(found, cells)
    kept = [place for place in range(len(columns)) if place != finding]
    spec = "l" + "r" * (len(kept) - 1)
    rows = [" & ".join(_marked(line[place]) for place in kept) + r" \\" for line in cells]
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex(tables.title(found))}}}",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        " & ".join(latex(columns[place]) for place in kept) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    below = [latex(f"{row['name']}: {row['finding']}.") for row in found.rows if row["delta"]]
    below += [f"{_superscript(number)} {latex(text)}" for number, text in enumerate(notes, start=1)]
    if below:
        lines += [r"\par\footnotesize\raggedright", *(f"{text}\\\\" for text in below[:-1]), below[-1]]
    return "\n".join([*lines, r"\end{table}", ""])


_MARK = re.compile(r" \[(\d+)\]$")


def _numbered(found: Comparison, cells: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[str]]:
    """Cells whose first column has a number where there is a note about the row; and the notes."""
    lines, notes = [], []
    for line, row in zip(cells, found.rows, strict=True):
        text = tables.notes(row)
        if text:
            notes.append(text)
        lines.append([f"{line[0]} [{len(notes)}]" if text else line[0], *line[1:]])
    return lines, notes


def _marked(text: str) -> str:
    """LaTeX of a cell, the number of a note set high."""
    if match := _MARK.search(text):
        return latex(text[: match.start()]) + _superscript(int(match[1]))
    return latex(text)


def _superscript(number: int) -> str:
    return rf"\textsuperscript{{{number}}}"
