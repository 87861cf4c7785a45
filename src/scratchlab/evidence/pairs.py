"""Every arm against every other, corrected for all of these tests at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from scratchlab import stats
from scratchlab.evidence import compare
from scratchlab.evidence.runs import Arm

MOST_ARMS = 12
"""Beyond these, pairs are too many to be read, and to be told from chance."""


@dataclass(frozen=True)
class Pair:
    arm: str
    versus: str
    value: float | None
    """The arm less the other, in the metric's unit; None where they cannot be paired."""
    interval: list[float] | None
    p: float | None
    p_holm: float | None
    """Corrected for all pairs that have a p."""
    seeds: int
    problem: str
    """Why nothing, or nothing more, can be said of the difference; empty if nothing stands against it."""

    @property
    def shown(self) -> bool:
        """Whether it is more than noise."""
        return self.p_holm is not None and self.p_holm < compare.LEVEL and not self.problem


def all_pairs(found: Sequence[Arm], metric: str, declared: Mapping[str, Sequence[str]] | None = None) -> list[Pair]:
    """Each later arm less each earlier one; none where the arms are too many."""
    if not 1 < len(found) <= MOST_ARMS:
        return []
    lines = [(b, a, compare.rows([a, b], a, metric, declared=declared)[1]) for a, b in combinations(found, 2)]
    tested = [line["delta"]["p"] for _, _, line in lines if line["delta"] and line["delta"]["p"] is not None]
    corrected = iter(stats.holm(tested) if tested else ())
    return [_pair(arm, other, line, corrected) for arm, other, line in lines]


def _pair(arm: Arm, other: Arm, line: Mapping[str, Any], corrected: Any) -> Pair:
    delta = line["delta"]
    problem = line["not_comparable"] or ("; ".join(line["confounds"]) and f"CONFOUNDED: {'; '.join(line['confounds'])}")
    if line["no_effect"]:
        problem = "the same losses to the last digit"
    if delta is None:
        return Pair(arm.label, other.label, None, None, None, None, 0, problem or "no seed in common")
    p = delta["p"]
    holm = next(corrected) if p is not None else None
    return Pair(arm.label, other.label, delta["value"], delta["interval"], p, holm, len(delta["seeds"]), problem)
