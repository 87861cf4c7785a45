"""Where a number lies among those that were published of its kind, on a given device; for a number without a record."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scratchlab.book.claims import Stated
from scratchlab.evidence.verdicts.advice import cap_of
from scratchlab.evidence.verdicts.single import TOLERANCE, half_a_digit
from scratchlab.runs.checks import is_number
from scratchlab.runs.claim import Claim, ClaimKind, Print
from scratchlab.runs.metrics import metric


@dataclass(frozen=True)
class Place:
    """A published number, and how far from it another one lies."""

    experiment: str
    claim: Claim
    printed: Print
    difference: float
    """The number less the published one."""
    tolerance: float
    """Largest difference that is nothing unusual on the device; for one run, whatever its seed where a seed acts."""
    why: str
    """What the tolerance is, in words."""

    @property
    def near(self) -> bool:
        return abs(self.difference) <= self.tolerance

    @property
    def times(self) -> float:
        """The distance in tolerances; infinite where none is allowed."""
        if self.difference == 0:
            return 0.0
        return abs(self.difference) / self.tolerance if self.tolerance else math.inf


def places(stated: Iterable[Stated], name: str, value: float, environment: str) -> list[Place]:
    """Every published value of a metric, the nearest first; `environment` is a class such as `cpu float32`."""
    found = []
    for s in stated:
        if s.claim.metric != name or not is_number(s.claim.value):
            continue
        own = Print(value=s.claim.value, source=s.claim.source)
        for one in s.claim.history or [own]:
            if is_number(one.value):
                tolerance, why = allowed(s.claim, one.value, environment)
                found.append(Place(s.experiment, s.claim, one, value - one.value, tolerance, why))
    return sorted(found, key=lambda place: (abs(place.difference), place.times, place.experiment))


def allowed(claim: Claim, printed: float, environment: str) -> tuple[float, str]:
    """The largest difference that is nothing unusual, and what it is, by the kind of claim and the environment."""
    m, rounding = metric(claim.metric), 0.00005 if claim.n else half_a_digit(printed)
    if claim.kind is ClaimKind.score:
        cap = cap_of(claim)
        return cap + rounding, f"{m.width(cap)}, what a score may be off by before three seeds tell more"
    if claim.kind is ClaimKind.count:
        wide = 3 * math.sqrt(2 * claim.n * claim.probability * (1 - claim.probability))
        return wide, f"three standard deviations between two times {claim.n:,} draws"
    if claim.kind is ClaimKind.close:
        of_device = TOLERANCE.get(environment)
        relative = max(claim.tolerance or TOLERANCE["cpu float32"], of_device or 0.0)
        told = f"{relative:g} of the number on {environment}"
        if of_device is None:
            told = f"{relative:g} of the number; no tolerance is known for {environment}"
        return max(relative * abs(printed), rounding), f"{told}, or the print's rounding"
    if not m.steady:
        return rounding, f"the print's rounding; it belongs to its device ({claim.device or 'not named'})"
    return rounding if m.seedless or isinstance(printed, float) else 0.0, "equal, but for the print's rounding"
