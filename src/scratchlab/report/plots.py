"""Plots from histories, as PNG files."""

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from scratchlab.files import in_one_step
from scratchlab.runs.metrics import Better, Unit
from scratchlab.runs.metrics import metric as declaration

WIDE, HIGH = 5.6, 3.6
"""Inches of a plot of the page: small, so that its words can be read on a phone."""
LONG_NAME = 26
"""Letters of a name of which two no longer stand side by side below a plot."""
LEFT, RIGHT, TOP, BOTTOM, LEGEND_LINE = 0.85, 0.15, 0.2, 0.6, 0.22
"""Inches around the plots of a run."""


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Means over `width` values around each, so that a curve is not moved to the right; over fewer at the ends."""
    sums = [0.0, *accumulate(values)]
    half, last = width // 2, len(values)
    bounds = [(max(0, place - half), min(last, place - half + width)) for place in range(last)]
    return [(sums[to] - sums[start]) / (to - start) for start, to in bounds]


def curves(history: list[dict[str, Any]], names: Sequence[str], *, by: str, path: Path, raw: str = "") -> None:
    """Draw each of `names` over `by` (`step`, `epoch`) from the lines of a history that hold both.

    `raw`: a number of every batch, drawn behind them, as it is and smoothed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 4))
    axes = figure.add_subplot()
    behind = [(line[by], line[raw]) for line in history if by in line and math.isfinite(line.get(raw, math.nan))]
    if len(behind) > 1:
        places, values = zip(*behind, strict=True)
        width = max(2, len(values) // 20)
        axes.plot(places, values, color="tab:gray", alpha=0.25, lw=0.8)
        axes.plot(places, smoothed(values, width), color="tab:gray", label=f"{raw.replace('_', ' ')}, mean of {width}")
    for name in names:
        points = [(line[by], line[name]) for line in history if by in line and name in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker="o" if len(points) < 30 else "")
    axes.set_xlabel(by)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(declaration(names[0]).quantity or declaration(names[0]).words)
    axes.grid(alpha=0.3)
    _place(figure)
    _save(figure, path)


def pace(lines: Sequence[dict[str, Any]], *, path: Path) -> None:
    """Draw the learning rate and the tokens a second over the batches, one above the other."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(6, 4.5))
    rate, speed = figure.subplots(2, 1, sharex=True)
    steps = [line["step"] for line in lines]
    rate.plot(steps, [line["lr"] for line in lines], color="tab:purple")
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.set_ylabel("learning rate")
    speeds = [line["tokens_per_second"] for line in lines]
    width = max(2, len(speeds) // 20)
    means = smoothed(speeds, width)
    speed.plot(steps, speeds, color="tab:gray", alpha=0.25, lw=0.8)
    speed.plot(steps, means, color="tab:green", label=f"tokens a second, mean of {width} batches")
    speed.set_ylim(0, 1.3 * max(means))
    speed.set_ylabel("tokens a second")
    speed.yaxis.set_major_formatter(EngFormatter(sep=""))
    speed.set_xlabel("step")
    for axes in (rate, speed):
        axes.grid(alpha=0.3)
    figure.align_ylabels()
    _place(figure)
    _save(figure, path)


def forest(rows: Sequence[dict[str, Any]], metric: str, *, path: Path) -> bool:
    """Draw each arm's difference from the baseline with its interval; False, and nothing, where no arm has one.

    The wide bar is for new seeds and new items, the narrow one for new seeds on the same items.
    """
    from matplotlib.figure import Figure

    shown = [row for row in rows if row["delta"]]
    if not shown:
        return False
    declared = declaration(metric)
    scale = declared.scale
    # as high as the curves that stand beside it, unless it has few bars or many
    height = max(HIGH + 0.12 * (len(shown) + 1), 1.3 + 0.4 * len(shown)) if len(shown) > 2 else 2 + 0.6 * len(shown)
    figure = Figure(figsize=(WIDE, height), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(reversed(shown)):
        delta = row["delta"]
        color = "tab:red" if row["confounds"] else "tab:gray" if row["no_effect"] else "tab:blue"
        for bounds, width in ((delta["interval"], 1.5), (delta["interval_seeds"], 4)):
            if bounds:
                axes.plot([scale * bound for bound in bounds], [place, place], color=color, lw=width, alpha=0.7)
        axes.plot(scale * delta["value"], place, "o", color=color, ms=6)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_yticks(range(len(shown)), [_wrapped(row["name"]) for row in reversed(shown)], fontsize=9)
    about = ["points"] if declared.unit is Unit.fraction else []
    about += [] if declared.better is Better.neither else [f"{declared.better.name} is better"]
    told = f"\n({', '.join(about)})" if about else ""
    axes.set_xlabel(f"difference in {declared.words}{told}")
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)
    return True


def bands(histories: dict[str, list[list[dict[str, Any]]]], name: str, *, by: str, path: Path) -> bool:
    """Draw `name` over `by`: for each arm the mean over its seeds, with a band from the lowest to the highest."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDE, HIGH + 0.12 * len(histories)), layout="constrained")
    axes = figure.add_subplot()
    drawn = 0
    for label, runs in histories.items():
        points: dict[Any, list[float]] = {}
        for run in runs:
            for line in run:
                if by in line and isinstance(line.get(name), int | float):
                    points.setdefault(line[by], []).append(float(line[name]))
        full = {x: values for x, values in sorted(points.items()) if len(values) == len(runs)}
        if len(full) < 2:
            continue  # one point is no curve
        drawn += 1
        style = "-" if drawn <= 10 else "--"
        (line_,) = axes.plot(
            list(full), [sum(v) / len(v) for v in full.values()], style, label=_wrapped(label), marker="."
        )
        axes.fill_between(
            list(full),
            [min(v) for v in full.values()],
            [max(v) for v in full.values()],
            alpha=0.15,
            color=line_.get_color(),
        )
    if not drawn:
        return False
    axes.set_xlabel(by)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(name.replace("_", " "))
    axes.grid(alpha=0.3)
    _legend(figure)
    _save(figure, path)
    return True


def _legend(figure: Any, loc: str = "outside lower center") -> int:
    """Below the axes, never on the data. Gives its lines."""
    names = [text for axes in figure.axes for text in axes.get_legend_handles_labels()[1]]
    columns = 1 if max(map(len, names), default=0) > LONG_NAME else 2
    figure.legend(loc=loc, ncols=columns, fontsize=9, frameon=False)
    return math.ceil(len(names) / columns)


def _place(figure: Any) -> None:
    """Legend and margins of a plot whose words are known: searching for a layout takes longer than a short run."""
    width, height = figure.get_size_inches()
    bottom = BOTTOM + LEGEND_LINE * _legend(figure, "lower center")
    figure.subplots_adjust(LEFT / width, bottom / height, 1 - RIGHT / width, 1 - TOP / height, hspace=0.15)


def _wrapped(label: str) -> str:
    return label if len(label) <= 40 else f"{label[:37]}..."


def _save(figure: Any, path: Path) -> None:
    with in_one_step(path) as temporary:
        # quick, since a short run ends in three of them
        figure.savefig(temporary, format="png", dpi=150, pil_kwargs={"compress_level": 3})


def heat_maps(
    grids: dict[str, list[list[float]]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str],
    path: Path,
) -> None:
    """Draw one map for each of `grids` (rows, columns), values written in; `labels` name the axes x and y."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(grids), 3.6), layout="constrained")
    for axes, (name, grid) in zip(figure.subplots(1, len(grids), squeeze=False)[0], grids.items(), strict=True):
        axes.imshow(grid, aspect="auto", cmap="cividis")
        middle = (max(map(max, grid)) + min(map(min, grid))) / 2
        for y, row in enumerate(grid):
            for x, value in enumerate(row):
                axes.text(x, y, f"{value:.2f}", ha="center", va="center", color="black" if value > middle else "white")
        axes.set_title(name.replace("_", " "))
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
    _save(figure, path)
