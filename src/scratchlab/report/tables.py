"""Comparisons as cells: for the terminal, Markdown, LaTeX and CSV; and the table that ends a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchlab.evidence.gather import Comparison
from scratchlab.matching import nearest, parts
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


def notes(row: Mapping[str, Any], *, brief: bool = False) -> str:
    """What there is to say about an arm; `brief`: only what may change how its row is read."""
    parts = [f"CONFOUNDED: {text}" for text in row["confounds"]]
    parts += [note for note in row["notes"] if note != "baseline"]
    if brief:
        return ". ".join(parts)
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


def show(found: Comparison, shown: Sequence[str] = (), *, brief: bool = False) -> None:
    """Print the columns that fit a terminal, and below them what there is to say about each arm; see `notes`."""
    from scratchlab.report import terminal

    columns, table = short(found, shown)
    terminal.show(title(found), columns, table)
    if found.headline:
        terminal.say(f"{found.headline}\n", prose=True)
    for row in found.rows:
        if text := notes(row, brief=brief):
            terminal.say(f"{row['name']}: {text}", prose=True)


def title(found: Comparison) -> str:
    """What is compared, and with what, in a line."""
    return f"{found.task}: {declaration(found.metric).words}, {ABOUT}; baseline: {found.baseline.label} ({found.why})"


def short(found: Comparison, shown: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Six columns that tell the story and what was found; `shown`: metrics beside the one that is compared."""
    metric = found.metric
    others = [name for name in shown if name != metric]
    columns = ["arm", "seeds", declaration(metric).words, "difference", "95% interval", "p (Holm)", "finding"]
    columns += [declaration(name).words for name in others]
    table = []
    for row in found.rows:
        cells = [row["name"], seeds_cell(row["seeds"]), mean_and_spread(row["metrics"].get(metric), metric)]
        cells += [*_difference(row["delta"], metric), row["finding"]]
        table.append([*cells, *(mean_and_spread(row["metrics"].get(name), name) for name in others)])
    return columns, table


def seeds_cell(seeds: Sequence[int]) -> str:
    """A few seeds one by one; many as a range, or by their number."""
    if len(seeds) <= 3:
        return ",".join(map(str, seeds))
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return f"{len(seeds)} seeds"


def metrics_of(found: Sequence[Comparison], wanted: str) -> list[str]:
    """The metrics that a comma-separated list names.

    Raises:
        ValueError: no run has one of that name.
    """
    possible = list(dict.fromkeys(name for one in found for row in one.rows for name in row["metrics"]))
    for name in parts(wanted):
        if name not in possible:
            raise ValueError(
                f"metrics={wanted}: no run has a number {name!r}; possible: {', '.join(possible)}"
                + nearest(name, possible)
            )
    return parts(wanted)


def show_sweep(folders: Sequence[Path], sweep: Path) -> list[str]:
    """Print how the runs of a sweep compare with each other, a table a task, and keep their order and baselines.

    `sweep`: the sweep's own folder.

    Returns the names of what was compared.
    """
    from scratchlab.book import experiments
    from scratchlab.evidence import gather, sweeps
    from scratchlab.evidence.runs import read_run

    runs = [run for run in map(read_run, folders) if not run.about_records]
    order = [run.fingerprint for run in runs]
    sweeps.write(sweep, sweeps.Sweep(order))  # so that the first arm is the first of this sweep
    found = gather.comparisons(runs, experiments.read_all(), all_tasks=True)
    if not found:
        return []
    sweeps.write(sweep, sweeps.Sweep(order, {r.fingerprint: one.why for one in found for r in one.baseline.runs}))
    for one in found:
        show(one, brief=True)
    return list(dict.fromkeys(arm.name for one in found for arm in one.arms))
