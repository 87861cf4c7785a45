"""Many tests at once: how many misses chance alone explains, and the chance of one so large."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scratchlab.stats import _require as require
from scratchlab.stats.intervals import Summary, floored

COUNT_ALPHA, ONE_ALPHA = 0.05, 0.01
"""What a family may spend on too many misses, and on one that is too large."""


@dataclass(frozen=True)
class Outcome:
    """One test of a family."""

    group: str
    """Tests of one group rest on the same runs, and may miss together."""
    level: float
    """Largest chance of a miss if what is tested holds."""
    missed: bool
    p: float | None = None
    """Of a miss: the chance of one at least so large; None counts as `level`."""


@dataclass(frozen=True)
class Family:
    tests: int
    missed: int
    low: int
    high: int
    """So many misses, from low to high, are expected by chance, with probability 0.95 at least."""
    p_count: float
    """Chance of so many misses, whether those of one group come alone or together."""
    p_one: float
    """Chance that any test misses by as much as the worst one did (Bonferroni, which is Holm's first step)."""

    @property
    def beyond(self) -> bool:
        """Whether chance alone does not explain the misses."""
        slack = 1 + 1e-9
        return self.missed > 0 and (self.p_count <= COUNT_ALPHA * slack or self.p_one <= ONE_ALPHA * slack)


def family(outcomes: Iterable[Outcome]) -> Family:
    """Hold the misses of many tests against what chance makes one expect if everything tested holds.

    The number of misses is held against two extremes, tests of one group that miss independently and such that
    always miss together, and the one that explains more misses counts. Groups are taken as independent.
    """
    tests = list(outcomes)
    groups: dict[str, list[float]] = {}
    for one in tests:
        groups.setdefault(one.group, []).append(require.share("level", one.level))
    apart = _sum_of([np.array([1 - one.level, one.level]) for one in tests])
    together = _sum_of([_all_at_once(levels) for levels in groups.values()])
    missed = [one for one in tests if one.missed]
    p_count = min(1.0, max(float(law[len(missed) :].sum()) for law in (apart, together)))
    worst = min((one.level if one.p is None else one.p for one in missed), default=1.0)
    low = min(_quantile(law, 0.025) for law in (apart, together))
    high = max(_quantile(law, 0.975) for law in (apart, together))
    return Family(len(tests), len(missed), low, high, p_count, min(1.0, worst * len(tests)))


def _sum_of(laws: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities of 0, 1, 2, ... for a sum of independent counts."""
    total = np.array([1.0])
    for law in laws:
        total = np.convolve(total, law)
    return total


def _all_at_once(levels: Sequence[float]) -> np.ndarray:
    """How many of these miss, if the one with the lower level never misses without that with the higher."""
    edges = [1.0, *sorted(levels, reverse=True), 0.0]
    return np.array([edges[i] - edges[i + 1] for i in range(len(levels) + 1)])


def _quantile(law: np.ndarray, share: float) -> int:
    return int(np.searchsorted(np.cumsum(law), share * (1 - 1e-12)))


def p_of_new_run(found: Summary, off: float, *, resolution: float | None = None) -> float:
    """Two-sided p of one more run that lies so far from the mean of these; 1 where they know no spread."""
    return min(1.0, 2 * _tail(found, abs(off), math.sqrt(1 + 1 / found.n), resolution))


def p_of_mean(found: Summary, off: float, *, resolution: float | None = None) -> float:
    """One-sided p of a true mean that lies at least so far from that of these runs; 1 where they know no spread."""
    return _tail(found, abs(off), math.sqrt(1 / found.n), resolution)


def _tail(found: Summary, off: float, errors: float, resolution: float | None) -> float:
    from scipy.special import stdtr

    if found.sd is None:
        return 1.0
    error = floored(found.sd, resolution) * errors
    if not error:
        return 0.0 if off > 0 else 0.5
    return float(stdtr(found.n - 1, -off / error))
