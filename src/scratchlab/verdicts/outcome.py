"""The five verdicts, and how numbers are put into their sentences."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Verdict(Enum):
    REPRODUCED = "REPRODUCED"
    NOT_REPRODUCED = "NOT_REPRODUCED"
    INCONCLUSIVE = "INCONCLUSIVE"
    """The runs could not have told."""
    NOT_COMPARABLE = "NOT_COMPARABLE"
    """They measured something else."""
    NOT_RUN = "NOT_RUN"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    reason: str
    test: str = ""
    """What was tested, in plain words."""
    measured: Any = None
    interval: tuple[float, float] | None = None
    seeds: tuple[int, ...] = ()
    device: str = ""
    seeds_needed: int | None = None
    """Seeds that would decide, if the spread stays as it is."""
    detectable: float | None = None
    """Smallest true difference that this many seeds find with power 0.8."""
    notes: tuple[str, ...] = ()


def shown(metric: str, value: float) -> str:
    """A number for a sentence; accuracies in percent."""
    if metric.endswith("accuracy"):
        return f"{100 * value:.2f}%"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def gap(metric: str, value: float) -> str:
    """A difference for a sentence; accuracies in points."""
    return f"{100 * value:+.2f} points" if metric.endswith("accuracy") else f"{value:+.4g}"


def width(metric: str, value: float) -> str:
    return f"{100 * value:.2f} points" if metric.endswith("accuracy") else f"{value:.4g}"
