"""Checks of single printed numbers, and the correction for many tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from numpy.typing import ArrayLike

from scratchlab.stats import _require as require
from scratchlab.stats.intervals import Interval


@dataclass(frozen=True)
class Attainable:
    """Can a printed proportion come from n items at all?"""

    ok: bool
    counts: tuple[int, ...]
    """Every k for which k/n rounds to the printed value."""
    nearest: tuple[float, ...]
    """The attainable values around the printed one, rounded as printed."""


def attainable(printed: float | str, n: int, decimals: int, *, percent: bool = True) -> Attainable:
    """GRIM check: does some k/n round to the printed value?

    A tie may have been rounded either way, so both are accepted. It can only refute: for n above 10 **
    decimals / 2 or so every value is attainable. Exact arithmetic; a float is read as it prints.
    Source: Brown and Heathers 2017, The GRIM test, doi 10.1177/1948550616673876.

    Raises:
        ValueError: not a number, outside 0..100 (0..1 for a fraction), or printed with more decimals than
        stated.
    """
    n = require.count("n", n, low=1)
    decimals = require.count("decimals", decimals)
    scale = 100 if percent else 1
    try:
        value = Fraction(str(printed))
    except (ValueError, ZeroDivisionError) as cause:
        raise ValueError(f"printed is {printed!r}; it must be a number such as 95.67") from cause
    if not 0 <= value <= scale:
        raise ValueError(f"printed is {printed}; with percent={percent} possible are 0 to {scale}")
    if (value * 10**decimals).denominator != 1:
        raise ValueError(f"printed is {printed}, which has more than the stated {decimals} decimals")
    half_step = Fraction(1, 2 * 10**decimals)
    first = max(0, math.ceil((value - half_step) * n / scale))
    last = min(n, math.floor((value + half_step) * n / scale))
    below = math.floor(value * n / scale)
    around = sorted({below, min(n, below + 1)})
    counts = tuple(range(first, last + 1))
    return Attainable(bool(counts), counts, tuple(round(scale * k / n, decimals) for k in around))


@dataclass(frozen=True)
class Closeness:
    ok: bool
    difference: float
    """measured - expected"""
    relative: float
    """|difference| / |expected|; infinite where something else than zero was expected to be zero."""


def close(measured: float, expected: float, *, rtol: float, atol: float = 0.0) -> Closeness:
    """Is a number within `rtol` of the published one (relative to the published one), or within `atol`?

    For numbers that no seed moves. An expected zero can only be met exactly or by `atol`.
    """
    measured, expected = require.number("measured", measured), require.number("expected", expected)
    rtol, atol = require.number("rtol", rtol, at_least=0), require.number("atol", atol, at_least=0)
    difference = measured - expected
    if difference == 0:
        return Closeness(True, 0.0, 0.0)
    relative = abs(difference / expected) if expected else math.inf
    return Closeness(abs(difference) <= max(rtol * abs(expected), atol), difference, relative)


@dataclass(frozen=True)
class CountTest(Interval):
    """A counted proportion (`value`) with its exact interval, against a known probability."""

    p: float
    expected: float
    """The count that the probability makes one expect."""


def count_test(successes: int, total: int, probability: float, *, level: float = 0.95) -> CountTest:
    """Could so many hits in so many independent draws come from this exact probability?

    Exact binomial test, two-sided (sums every outcome no likelier than the observed one), with the
    Clopper-Pearson interval; the two differ a little in what they call extreme. A large p says "consistent",
    not "equal".
    """
    from scipy.stats import binomtest

    total = require.count("total", total, low=1)
    successes = require.count("successes", successes, high=total)
    probability = require.share("probability", probability)
    level = require.share("level", level, open_ends=True)
    test = binomtest(successes, total, probability)
    exact = test.proportion_ci(level, "exact")
    low, high, p = float(exact.low), float(exact.high), float(test.pvalue)
    return CountTest(successes / total, low, high, level, p, probability * total)


def holm(p_values: ArrayLike) -> tuple[float, ...]:
    """p values made larger so that all tests of one table together keep the error rate; order kept.

    Holds under any dependence between the tests (arms share a baseline and the items). Source: Holm 1979.
    """
    import numpy as np

    found = require.array("p_values", p_values, 1)
    for p in found:
        require.share("p_values", p)
    # not statsmodels' multipletests: it collects garbage at every call, up to a third of a second where torch is loaded
    order = np.argsort(found, kind="stable")
    raised = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    corrected = np.empty(len(found))
    corrected[order] = np.minimum(raised, 1.0)
    return tuple(map(float, corrected))
