"""Two samples of runs that share nothing, such as ours and those that somebody published."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from scratchlab.stats import _require as require
from scratchlab.stats.intervals import Interval, floored, spread


@dataclass(frozen=True)
class TwoSamples(Interval):
    """Difference of two means with its interval."""

    p: float
    """Two-sided, of no difference."""


def two_samples(
    ours: ArrayLike, theirs: ArrayLike, *, level: float = 0.95, resolution: float | None = None
) -> TwoSamples:
    """Mean of `ours` less mean of `theirs`: Welch's interval and test, which do not take the spreads for equal.

    Assumes independent, roughly normal values, and two or more in each sample. `resolution`: the step in which an
    accuracy moves; no spread is taken to be below half of it. Where both samples have no spread at all and none is
    given, the interval has width zero.
    Source: Welch 1947, Biometrika 34, 28-35.

    Raises:
        ValueError: a sample has fewer than two values.
    """
    from scipy import special

    level = require.share("level", level, open_ends=True)
    means, errors, sizes = [], [], []
    for name, values in (("ours", ours), ("theirs", theirs)):
        runs = require.array(name, values, 1)
        if runs.size < 2:
            raise ValueError(f"{name} has {runs.size} value; a spread needs two or more")
        mean, sd = spread(runs)
        means.append(mean)
        errors.append(floored(sd, resolution) ** 2 / runs.size)
        sizes.append(runs.size)
    gap, square = means[0] - means[1], sum(errors)
    if square == 0:
        return TwoSamples(gap, gap, gap, level, 1.0 if gap == 0 else 0.0)
    degrees = square**2 / sum(error**2 / (size - 1) for error, size in zip(errors, sizes, strict=True))
    half = float(special.stdtrit(degrees, (1 + level) / 2)) * square**0.5
    p = 2 * float(special.stdtr(degrees, -abs(gap) / square**0.5))
    return TwoSamples(gap, gap - half, gap + half, level, p)
