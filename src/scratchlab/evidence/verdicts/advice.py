"""How many seeds would decide: a range, for an effect that is declared and not for the one that was seen."""

from collections.abc import Callable

from scratchlab import stats
from scratchlab.runs.claim import Claim
from scratchlab.runs.metrics import metric

LEAST_SEEDS = 3
"""Two seeds show too little of a spread: below this no score and no relation is decided."""
POWER = ASSURANCE = 0.8
CAP = 0.05
"""Relative, where the metric declares no half-width of its own."""


def cap_of(claim: Claim, size: float = 0.0) -> float:
    """What counts as one effect: the widest half-width of a score, and the difference that a plan must find.

    `size`: what a share is taken of, where neither claim nor metric names a width and the claim has no value.
    """
    about = claim.value if isinstance(claim.value, int | float) else size
    return claim.max_halfwidth or metric(claim.metric).cap or CAP * abs(about)


def seeds_range(plan: Callable[[float], int | None], sd: float, seen: int) -> tuple[int | None, int | None]:
    """Seeds that a plan asks for at the spread that was seen, and at the largest that may be behind it."""
    found = (plan(sd), plan(stats.largest_sd(sd, seen, assurance=ASSURANCE)))
    low, high = (None if n is None else max(n, LEAST_SEEDS) for n in found)
    return low, high


def told(low: int | None, high: int | None) -> str:
    """The range in words."""
    if low is None:
        return "no number of seeds would do at this spread"
    if high is None:
        return (
            f"{low} seeds in all would do if the spread stays as it is, and no number if it is as large as it may be "
            f"({100 * ASSURANCE:.0f}% assurance)"
        )
    return f"{low} to {high} seeds in all would do (the spread as seen, and with {100 * ASSURANCE:.0f}% assurance)"
