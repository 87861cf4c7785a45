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
