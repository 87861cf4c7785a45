"""Tests on the items that one arm has right and the other wrong; they speak about the models at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from scratchlab.stats import _require as require
from scratchlab.stats.paired import differences, members


@dataclass(frozen=True)
class McNemar:
    """One seed: gained and lost items, and the exact two-sided p."""

    gained: int
    lost: int
    items: int | None
    p: float

    @property
    def discordance(self) -> float | None:
        """Share of the items on which the arms disagree."""
        return None if self.items is None else (self.gained + self.lost) / self.items


def mcnemar(variant: ArrayLike, baseline: ArrayLike) -> McNemar:
    """Do these two trained models differ on items of this kind? Vectors of right (1) and wrong (0), one seed
    each.

    Says nothing about the method: a second seed of the same config is a different model, too, and this test
    finds that (docs/statistics.md has the rate). Several seeds: `sign_flip`; pooling their counts here would
    be wrong.
    """
    a, b = require.array("variant", variant, 1), require.array("baseline", baseline, 1)
    if a.shape != b.shape:
        raise ValueError(f"variant has {a.size} items, baseline {b.size}; both must be the same items")
    if not (require.binary(a) and require.binary(b)):
        raise ValueError("variant and baseline must hold right (1) or wrong (0) for each item")
    return mcnemar_counts(int(np.sum(a > b)), int(np.sum(a < b)), items=a.size)


def mcnemar_counts(gained: int, lost: int, *, items: int | None = None) -> McNemar:
    """Exact McNemar test from the numbers of items that only one arm has right. No such item: p is 1."""
    from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

    gained, lost = require.count("gained", gained), require.count("lost", lost)
    if items is not None:
        require.count("items", items, low=max(1, gained + lost))
    p = float(exact_mcnemar([[0, gained], [lost, 0]], exact=True).pvalue)
    return McNemar(gained, lost, items, p)


@dataclass(frozen=True)
class SignFlip:
    value: float
    p: float
    units: int
    """Items or clusters whose difference is not zero; only these can speak."""
    exact: bool
    """All sign patterns were tried, not a random draw of them."""


def sign_flip(
    variant: ArrayLike,
    baseline: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 9999,
    seed: int = 0,
) -> SignFlip:
    """McNemar's question for several seeds: do these trained models differ on items of this kind?

    The same item over S seeds is one observation, not S, so the seeds are averaged first and the sign of each
    item's (or cluster's) difference is flipped at random; valid if, without a difference, the arms could be
    exchanged item by item. Nothing about new seeds. Exact where all patterns fit into `resamples`; with one
    seed that is exact McNemar.
    """
    from scipy.stats import permutation_test

    delta, _ = differences(variant, baseline)
    require.count("resamples", resamples, low=99)
    units = delta.sum(axis=0)  # whole numbers for right/wrong, so that ties are exact
    if clusters is not None:
        units = np.bincount(members(clusters, units.size), weights=units)
    units = units[np.abs(units) > 1e-12 * np.abs(delta).max()]
    if units.size < 2:  # nothing to flip, or two patterns that are equally extreme
        return SignFlip(float(delta.mean()), 1.0, units.size, True)
    test = permutation_test(
        (units,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=2000,
        rng=np.random.default_rng(seed),
    )
    return SignFlip(float(delta.mean()), float(test.pvalue), units.size, 2**units.size <= resamples)
