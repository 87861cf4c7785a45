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


class Answer(Enum):
    """The same where a finding is asked of another model, which can neither reproduce nor fail to reproduce it."""

    HOLDS = Verdict.REPRODUCED
    DOES_NOT_HOLD = Verdict.NOT_REPRODUCED
    INCONCLUSIVE = Verdict.INCONCLUSIVE
    NOT_COMPARABLE = Verdict.NOT_COMPARABLE
    NOT_RUN = Verdict.NOT_RUN


@dataclass(frozen=True)
class Sample:
    """Our seeds against published runs of the same recipe: two samples, whatever the verdict."""

    size: int
    """Published runs."""
    mean: float
    """Of those."""
    difference: float
    """Ours less theirs, of the means."""
    interval: tuple[float, float]
    p: float


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
    """Seeds, in all, that would decide if the spread is the one that was seen."""
    seeds_assured: int | None = None
    """The same if the spread is as large as it may be, with an assurance of 0.8; None: none known."""
    detectable: float | None = None
    """Smallest true difference that this many seeds find with power 0.8."""
    within: float | None = None
    """score, REPRODUCED: the published number lies so near to where one more run would."""
    repetition: bool | None = None
    """Whether the published seed, on the reference environment, gives the printed number; None where it has not run."""
    chance: float = 0.0
    """Largest chance of NOT_REPRODUCED if the claim holds; 0 where chance has no part in the test, or none was made."""
    p: float | None = None
    """NOT_REPRODUCED by a test that can miss: the chance of a miss at least as large."""
    sample: Sample | None = None
    """Where the claim's history has replicates enough."""
    notes: tuple[str, ...] = ()
