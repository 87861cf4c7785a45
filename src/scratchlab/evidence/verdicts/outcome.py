"""The five verdicts, and what is said with each."""

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
class Decision:
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
