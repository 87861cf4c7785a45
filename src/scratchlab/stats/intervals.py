"""Mean, spread and intervals of a handful of runs, and of a proportion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scratchlab.stats import _require as require


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float
    level: float

    @property
    def half_width(self) -> float:
        """The longer side; infinite where the data cannot bound it."""
        return max(self.high - self.value, self.value - self.low)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Summary(Interval):
    """Mean of runs with its interval."""

    sd: float | None
    """Sample standard deviation (n - 1), as measured, before any floor; None for one run."""
    n: int


def spread(values: require.Floats, scale: float | None = None) -> tuple[float, float]:
    """Mean and sample standard deviation of at least two values, with an exact zero where all are one value.

    Differences of equal accuracies differ in their last bit; below 1e-12 of `scale` (default: the largest
    value) that is rounding, not spread, and would otherwise become a t statistic of 1e14.
    """
    if np.ptp(values) <= 1e-12 * (float(np.max(np.abs(values))) if scale is None else scale):
        return float(values[0]), 0.0
    return float(values.mean()), float(values.std(ddof=1))


def floored(sd: float, resolution: float | None) -> float:
    """A standard deviation not below half a step of the grid that the values live on.

    Accuracies over n items move in steps of 1/n, so two or three seeds often agree to the last item although
    the next one will not. A quantity confined to one step can still have a standard deviation of half that
    step (Popoviciu's inequality), so less than that is never assumed. Without it, ties would give intervals
    of width zero.
    """
    if resolution is None:
        return sd
    return max(sd, require.number("resolution", resolution, at_least=0) / 2)


def resolution(items: int) -> float:
    """The step in which an accuracy over so many items moves: 1/n."""
    return 1 / require.count("items", items, low=1)


def summarize(values: ArrayLike, *, level: float = 0.95, resolution: float | None = None) -> Summary:
    """Mean over runs with its t interval: where the mean of infinitely many seeds, on the same items, may
    lie.

    Assumes independent, roughly normal values. One value gives an infinite interval and no sd. Equal values
    give an interval of width zero unless `resolution` (1/n of an accuracy over n items) floors the spread,
    see `floored`.
    """
    return _around_mean(values, level, resolution, new_runs=0)


def prediction_interval(values: ArrayLike, *, level: float = 0.95, resolution: float | None = None) -> Summary:
    """Where one new run (another seed, the same items) may lie: mean +/- t(S-1) * sd * sqrt(1 + 1/S).

    The yardstick for one published score. It does not narrow to zero with more seeds: the new run's own noise
    stays. One value gives an infinite interval. Equal values mean either that the seed changes nothing (a
    deterministic number: leave `resolution` out, the width is then zero and equality is the test) or that the
    grid hides the spread (an accuracy: give `resolution` = 1/n). With it the sd is at least half an item, so
    the half-width is never below one item, and at two seeds it is 7.8 items: two equal runs are no proof of
    determinism.
    Source: Hahn and Meeker, Statistical Intervals, chapter 4.
    """
    return _around_mean(values, level, resolution, new_runs=1)


def _around_mean(values: ArrayLike, level: float, resolution: float | None, new_runs: int) -> Summary:
    runs = require.array("values", values, 1)
    level = require.share("level", level, open_ends=True)
    step = 0.0 if resolution is None else require.number("resolution", resolution, at_least=0)
    n = runs.size
    if n == 1:
        return Summary(float(runs[0]), -math.inf, math.inf, level, None, 1)
    mean, sd = spread(runs)
    half = require.quantile_t(level, n - 1) * floored(sd, resolution) * math.sqrt(new_runs + 1 / n)
    if new_runs:
        half = max(half, step)
    return Summary(mean, mean - half, mean + half, level, sd, n)


def wilson(successes: int, total: int, *, level: float = 0.95) -> Interval:
    """Score interval of a proportion: new items of the same kind, this one trained model.

    Not for "would another seed give this": the items of a fixed test set are not drawn again. Too narrow
    where items repeat each other (duplicated messages).
    """
    from statsmodels.stats.proportion import proportion_confint

    total = require.count("total", total, low=1)
    successes = require.count("successes", successes, high=total)
    level = require.share("level", level, open_ends=True)
    low, high = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    # at 0 of n and n of n the formula gives the exact end plus or minus a rounding error
    low, high = (0.0 if successes == 0 else float(low)), (1.0 if successes == total else float(high))
    return Interval(successes / total, low, high, level)
