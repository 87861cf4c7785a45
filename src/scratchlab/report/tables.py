"""Comparisons as cells: for the terminal, Markdown, LaTeX and CSV; and the table that ends a sweep."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlab.runs.metrics import columns as metric_columns
from scratchlab.runs.metrics import metric as declaration

ABOUT = "mean over seeds ± sample standard deviation, fractions in %"
MOST_SETTINGS = 3
"""Settings that get a column each; more are put into one."""


def cells(rows: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a comparison, from the lines of table.json."""
    settings = list(dict.fromkeys(key for row in rows for key in row["changed"]))
    apart = len(settings) <= MOST_SETTINGS
    shown = [m for m in metric_columns() if m != metric and any(m in row["metrics"] for row in rows)]
    columns = [
        "arm",
        *([] if apart else ["changed"]),
        "seeds",
        declaration(metric).words,
        "difference",
        "95% interval",
        "p (Holm)",
    ]
    columns += ["finding", *(declaration(m).words for m in shown), "notes"]
    table = []
    for row in rows:
        changed = ", ".join(f"{key}={value}" for key, value in row["changed"].items())
        line = [row["name"], *([] if apart else [changed]), ",".join(map(str, row["seeds"]))]
        line += [
            mean_and_spread(row["metrics"].get(metric), metric),
            *_difference(row["delta"], metric),
            row["finding"],
        ]
        table.append([*line, *(mean_and_spread(row["metrics"].get(m), m) for m in shown), notes(row)])
    if apart and settings:
        columns[1:1] = settings
        for line, row in zip(table, rows, strict=True):
            line[1:1] = [str(row["settings"].get(key, "-")) for key in settings]
    return columns, table


def notes(row: Mapping[str, Any]) -> str:
    parts = [f"CONFOUNDED: {text}" for text in row["confounds"]]
    parts += [note for note in row["notes"] if note != "baseline"]
    if row["mcnemar"]:
        tests = ", ".join(f"{t['seed']}: +{t['gained']} -{t['lost']} p={t['p']:.2g}" for t in row["mcnemar"][:5])
        parts.append(f"McNemar by seed (these models only): {tests}{' ...' * (len(row['mcnemar']) > 5)}")
    delta = row["delta"]
    if delta and delta["interval"] is None and (items := delta.get("interval_items")):
        signed = declaration(delta["metric"]).difference
        text = f"{signed(items[0])} to {signed(items[1])}"
        parts.append(f"one seed: on other items, these two models differ by {text} (95%); other seeds may not")
    if row["resolution"]:
        parts.append(row["resolution"])
    return ". ".join(parts)


def _difference(delta: Mapping[str, Any] | None, metric: str) -> list[str]:
    if delta is None:
        return ["", "", ""]
    interval = delta["interval"]
    signed = declaration(metric).difference_cell
    bounds = f"{signed(interval[0])} to {signed(interval[1])}" if interval else "unknown"
    p = "" if delta["p"] is None else f"{delta['p']:.2g} ({delta['p_holm']:.2g})"
    return [signed(delta["value"]), bounds, p]


def mean_and_spread(found: Mapping[str, Any] | None, metric: str) -> str:
    """Mean and sample standard deviation as one cell; fractions in percent."""
    if found is None:
        return "-"
    bad = f" ({found['diverged']} diverged)" if found.get("diverged") else ""
    if found["mean"] is None:
        return f"-{bad}"
    cell = declaration(metric).cell
    mean = cell(found["mean"])
    return (f"{mean} ± {cell(found['spread'])}" if found["spread"] is not None else mean) + bad


def show(title: str, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Print the columns that fit a terminal, and below them what there is to say about each arm."""
    from scratchlab.report import terminal

    columns, table = cells(rows, metric)
    wide = {declaration(m).words for m in metric_columns()} - {declaration(metric).words} | {"notes"}
    kept = [i for i, column in enumerate(columns) if column not in wide]
    terminal.show(title, [columns[i] for i in kept], [[line[i] for i in kept] for line in table])
    for row in rows:
        if text := notes(row):
            terminal.say(f"{row['name']}: {text}")


def show_sweep(folders: Sequence[Path]) -> None:
    """Print how the runs of a sweep compare with its first arm, and where the records are."""
    from scratchlab.evidence import compare
    from scratchlab.evidence.baseline import choose_metric
    from scratchlab.evidence.runs import arms, read_run
    from scratchlab.report import terminal

    found = arms(run for run in map(read_run, folders) if not run.about_records)
    if not found or not any(run.metrics for run in found[0].runs):
        return
    metric = choose_metric(found, found[0], "")
    rows = compare.rows(found, found[0], metric)
    show(f"{ABOUT}; the first arm is the baseline", rows, metric)
    root = os.path.commonpath([folder.resolve() for folder in folders])
    names = ",".join(dict.fromkeys(arm.name for arm in found))
    terminal.say(f"records: {root}; more with: scratchlab task=compare select={names}")
