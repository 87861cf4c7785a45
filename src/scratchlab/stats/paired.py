"""Two arms on the same seeds and the same items: difference, tests and equivalence.

Three questions look alike and have different answers; every function says which one is its own.

- new *seeds*: the same items, trained again. This is what a reproduction of a printed score asks.
- new *items*: these very trained models on other messages of the same kind. Says nothing about the method.
- *both*: would the change help someone else, with their seed and their messages?

Arrays are (S, n), seeds x items, or (n,) for one seed; row s of both arms has the same seed, column i is the
same item.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchlab.stats import _require as require
from scratchlab.stats.intervals import Interval, floored, spread

To = Literal["seeds", "items", "both"]


@dataclass(frozen=True)
class Difference(Interval):
    """Mean of variant - baseline, in the unit of the outcomes (a fraction for right/wrong)."""

    p: float | None
    """Two-sided, for "no difference", of the same method as the interval; None where it cannot be had."""
    to: To
    """What the interval really generalises to, which may be less than what was asked."""
    seeds: int
    items: int
    clusters: int
    note: str
    """The method and its limits in one sentence."""


def paired_difference(
    variant: ArrayLike, baseline: ArrayLike, *, to: To, level: float = 0.95, clusters: ArrayLike | None = None
) -> Difference:
    """Paired difference of two arms with an interval that holds its level from two seeds on.

    `to="seeds"`: Student's t over the S per-seed differences. Wide at two seeds (t = 12.7), because two seeds
    know that little. `to="items"`: t over the n per-item differences, averaged over seeds. `to="both"`: the
    half-widths add as squares, t(S-1)^2 * var_seeds + t(n-1)^2 * var_items, which errs on the wide side for any
    ratio of the two variances (Banerjee 1960, Sankhya 22); var_items is the crossed two-way ANOVA component,
    because the seed part already carries the seed-by-item noise. With one seed, "seeds" and "both" are infinite
    and without p.

    `clusters` (n ids) makes groups of items, such as duplicated messages, count as one. Right/wrong outcomes
    are discrete: the sd over seeds is at least half an item (`floored`), and the item variance gets half an
    imagined item in each direction, so that no disagreement among n items does not mean none ever (as in
    Agresti and Min 2005).
    """
    delta, discrete = differences(variant, baseline)
    level = require.share("level", level, open_ends=True)
    if to not in ("seeds", "items", "both"):
        raise ValueError(f"to is {to!r}; possible are 'seeds', 'items' and 'both'")
    seeds, items = delta.shape
    groups = by_cluster(delta, clusters)
    parts = []
    if to != "items":
        parts.append((_seed_variance(delta, discrete), seeds - 1))
    if to != "seeds":
        parts.append((_item_variance(groups, discrete, to), groups.shape[1] - 1))
    value = float(delta.mean())
    unknown = [degrees for _, degrees in parts if degrees == 0]
    half = math.inf if unknown else math.sqrt(sum(require.quantile_t(level, k) ** 2 * v for v, k in parts))
    note = {
        "seeds": f"t over {seeds} per-seed differences; the items are taken as given",
        "items": f"t over {groups.shape[1]} items; the trained models are taken as given",
        "both": f"t over {seeds} seeds and over {groups.shape[1]} items, half-widths added as squares",
    }[to]
    if unknown:
        note += "; one is too few to know a spread"
    p = None if unknown else _p_of(value, parts)
    return Difference(value, value - half, value + half, level, p, to, seeds, items, groups.shape[1], note)


def hierarchical_bootstrap(
    variant: ArrayLike,
    baseline: ArrayLike,
    *,
    level: float = 0.95,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Percentile bootstrap over seeds and items, for new seeds and new items; only for ten seeds or more.

    Each draw takes S seeds, then n items (or clusters), with replacement; all seeds share the drawn items,
    because they were measured on the same ones. With few seeds it is too narrow, the more so the more the seed
    matters: S draws of S values understate their variance by (S-1)/S and know no t. docs/statistics.md has the
    measured false alarms; `paired_difference(to="both")` is the one to judge by. With one seed only items are
    drawn, and the result says `to="items"`. p is twice the smaller tail.
    """
    delta, _ = differences(variant, baseline)
    level = require.share("level", level, open_ends=True)
    require.count("resamples", resamples, low=100)
    groups = by_cluster(delta, clusters)
    seeds, units = groups.shape
    means = _bootstrap_means(groups, resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (int(tail) + 1) / (resamples + 1))
    to: To = "both" if seeds > 1 else "items"
    note = f"percentile bootstrap of {resamples} draws over {seeds} seeds and {units} items"
    if seeds == 1:
        note = f"percentile bootstrap of {resamples} draws over {units} items; says nothing about new seeds"
    elif seeds < 10:
        note += "; too narrow below ten seeds"
    return Difference(float(delta.mean()), float(low), float(high), level, p, to, seeds, delta.shape[1], units, note)


def differences(variant: ArrayLike, baseline: ArrayLike) -> tuple[require.Floats, bool]:
    """variant - baseline as (S, n), and whether the outcomes were right/wrong."""
    a, b = require.array("variant", variant, 1, 2), require.array("baseline", baseline, 1, 2)
    if a.shape != b.shape:
        raise ValueError(f"variant has shape {a.shape}, baseline {b.shape}; both need the same seeds and items")
    return np.atleast_2d(a - b), require.binary(a) and require.binary(b)


def members(clusters: ArrayLike, items: int) -> NDArray[np.intp]:
    """Each item's cluster as 0, 1, 2, ...; ids may be numbers or text."""
    ids = np.asarray(clusters)
    if ids.shape != (items,):
        raise ValueError(f"clusters has shape {ids.shape}; one id for each of {items} items is needed")
    return np.unique(ids, return_inverse=True)[1]


def by_cluster(delta: require.Floats, clusters: ArrayLike | None) -> require.Floats:
    """One column a cluster, with the same mean: the cluster's summed deviation, linearised for unequal
    sizes."""
    if clusters is None:
        return delta
    member = members(clusters, delta.shape[1])
    grand = delta.mean()
    sums = np.zeros((delta.shape[0], int(member.max()) + 1))
    np.add.at(sums.T, member, (delta - grand).T)
    return grand + sums * (sums.shape[1] / delta.shape[1])


def _seed_variance(delta: require.Floats, discrete: bool) -> float:
    """Variance of the mean over seeds."""
    seeds, items = delta.shape
    if seeds == 1:
        return math.inf
    _, sd = spread(delta.mean(axis=1), scale=float(np.abs(delta).max()))
    return floored(sd, 1 / items if discrete else None) ** 2 / seeds


def _item_variance(groups: require.Floats, discrete: bool, to: To) -> float:
    """Variance of the mean over items; for `both` without the part that the seeds' variance holds already."""
    seeds, units = groups.shape
    if units == 1:
        return math.inf
    variance = float(groups.mean(axis=0).var(ddof=1))
    if to == "both" and seeds > 1:
        rest = groups - groups.mean(axis=0) - groups.mean(axis=1, keepdims=True) + groups.mean()
        variance = max(0.0, variance - float((rest**2).sum()) / ((seeds - 1) * (units - 1)) / seeds)
    return variance / units + (1 / units**2 if discrete else 0.0)


def _p_of(value: float, parts: list[tuple[float, int]]) -> float | None:
    """The alpha at which the interval of `paired_difference` just touches zero; with one part, the t test's
    p."""
    from scipy.optimize import brentq
    from scipy.special import stdtr, stdtrit

    parts = [(variance, degrees) for variance, degrees in parts if variance > 0]
    if not parts:
        return None  # nothing varies: a test has nothing to go by
    # each part alone gives a p that is too small, so the joint p lies between the largest of them and one
    floor = max(2 * float(stdtr(k, -abs(value) / math.sqrt(v))) for v, k in parts)
    if len(parts) == 1 or floor >= 1 - 1e-9:
        return min(1.0, floor)

    def excess(p: float) -> float:
        return sum(v * float(stdtrit(k, p / 2)) ** 2 for v, k in parts) - value**2

    floor = max(floor, 1e-100)  # t quantiles beyond that overflow when squared
    return floor if excess(floor) <= 0 else float(brentq(excess, floor, 1.0))


def _bootstrap_means(groups: require.Floats, resamples: int, seed: int) -> require.Floats:
    """Means over drawn seeds and drawn items, (resamples,); in blocks, so that many items do not fill the
    memory."""
    seeds, units = groups.shape
    draw = np.random.default_rng(seed)
    block = max(1, 4_000_000 // units)
    means = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        by_seed = _draw_counts(draw, rows, units) @ groups.T / units  # (rows, S)
        means.append((by_seed * _draw_counts(draw, rows, seeds)).sum(axis=1) / seeds)
    return np.concatenate(means)


def _draw_counts(draw: np.random.Generator, rows: int, size: int) -> require.Floats:
    """How often each of `size` comes up in `size` draws with replacement, (rows, size)."""
    picks = draw.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)


@dataclass(frozen=True)
class Equivalence(Interval):
    """Two one-sided tests; the interval has level 1 - 2 alpha and lies inside the margin exactly if
    `equivalent`."""

    p_lower: float
    """Against "the difference is at or below -margin"."""
    p_upper: float
    """Against "the difference is at or above +margin"."""
    margin: float
    equivalent: bool
    seeds: int

    @property
    def p(self) -> float:
        return max(self.p_lower, self.p_upper)


def equivalence(
    variant: ArrayLike,
    baseline: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    resolution: float | None = None,
) -> Equivalence:
    """Are two arms the same within `margin`? One value per seed, paired by seed; new seeds, same items.

    "Not significantly different" is no evidence of sameness; this is. Not equivalent means "not shown", never
    "shown to differ". One seed shows nothing (p 1, infinite interval). Equal differences: p is 0 inside the
    margin, 1 outside or on it, unless `resolution` (1/n of an accuracy) floors the spread. Source: Schuirmann
    1987.
    """
    from scipy.special import stdtr

    a, b = require.array("variant", variant, 1), require.array("baseline", baseline, 1)
    if a.shape != b.shape:
        raise ValueError(f"variant has {a.size} seeds, baseline {b.size}; both must have the same seeds")
    margin = require.number("margin", margin, above=0)
    alpha = require.number("alpha", require.share("alpha", alpha, open_ends=True))
    if alpha >= 0.5:
        raise ValueError(f"alpha is {alpha}; it must be below 0.5")
    level, seeds = 1 - 2 * alpha, a.size
    if seeds == 1:
        value = float(a[0] - b[0])
        return Equivalence(value, -math.inf, math.inf, level, 1.0, 1.0, margin, False, 1)
    value, sd = spread(a - b, scale=float(max(np.abs(a).max(), np.abs(b).max())))
    error = floored(sd, resolution) / math.sqrt(seeds)
    if error == 0:
        # a last-bit excess over the margin must not decide
        lower, upper = (float(x <= 1e-12 * margin) for x in (value + margin, margin - value))
        half = 0.0
    else:
        lower = float(stdtr(seeds - 1, -(value + margin) / error))
        upper = float(stdtr(seeds - 1, (value - margin) / error))
        half = require.quantile_t(level, seeds - 1) * error
    equal = max(lower, upper) <= alpha
    return Equivalence(value, value - half, value + half, level, lower, upper, margin, equal, seeds)
