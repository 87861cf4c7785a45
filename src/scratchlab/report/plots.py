"""Plots from histories, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def curves(history: list[dict[str, Any]], names: Sequence[str], *, by: str, path: Path) -> None:
    """Draw each of `names` over `by` (`step`, `epoch`) from the lines of a history that hold both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in names:
        points = [(line[by], line[name]) for line in history if by in line and name in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker="o" if len(points) < 30 else "")
    axes.set_xlabel(by)
    axes.set_ylabel(names[0].split("_")[-1])
    axes.grid(alpha=0.3)
    axes.legend()
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.replace(path)


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
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.replace(path)
