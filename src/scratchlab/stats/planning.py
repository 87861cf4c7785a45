"""How many seeds or items a question needs, and what a design can see at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scratchlab.stats import _require as require


def mcnemar_power(items: int, gap: float, discordance: float, *, alpha: float = 0.05) -> float:
    """Chance that the exact two-sided McNemar test finds a true accuracy gap, the number of discordant items
    random.

    `discordance`: share of items on which the arms disagree; a gap cannot be larger.
    """
    from scipy.stats import binom

    items = require.count("items", items, low=1)
    discordance = require.share("discordance", discordance)
    gap = abs(require.number("gap", gap))
    alpha = require.share("alpha", alpha, open_ends=True)
    if gap > discordance:
        raise ValueError(f"gap is {gap}, discordance {discordance}; a gap cannot exceed the discordance")
    if discordance == 0:
        return 0.0
    # nothing outside eight standard deviations matters, and a million items stay cheap
    reach = 8 * math.sqrt(items * discordance) + 10
    middle = items * discordance
    split = np.arange(max(0, math.floor(middle - reach)), min(items, math.ceil(middle + reach)) + 1)
    critical = binom.ppf(alpha / 2, split, 0.5)
    critical = np.where(2 * binom.cdf(critical, split, 0.5) <= alpha, critical, critical - 1)
    worse = (1 - gap / discordance) / 2
    rejects = binom.cdf(critical, split, worse) + binom.cdf(critical, split, 1 - worse)
    return float(np.sum(binom.pmf(split, items, discordance) * rejects))


def smallest_gap(items: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Smallest accuracy gap between two models that exact McNemar finds with the stated power, one seed each.

    None where even a gap as large as the discordance, all items flipping one way, is missed too often.
    """
    from scipy.optimize import brentq

    power = require.share("power", power, open_ends=True)
    discordance = require.share("discordance", discordance)
    if mcnemar_power(items, discordance, discordance, alpha=alpha) < power:
        return None
    return float(
        brentq(lambda gap: mcnemar_power(items, gap, discordance, alpha=alpha) - power, 0, discordance, xtol=1e-7)
    )


def largest_sd(sd: float, n: int, *, assurance: float = 0.8) -> float:
    """Upper confidence bound of the true sd behind one that n normal values showed; infinite for one value."""
    from scipy.special import gammaincinv

    sd, n = require.number("sd", sd, at_least=0), require.count("n", n, low=1)
    assurance = require.share("assurance", assurance, open_ends=True)
    if n == 1:
        return math.inf
    return sd * math.sqrt((n - 1) / (2 * float(gammaincinv((n - 1) / 2, 1 - assurance))))


def seeds_for_prediction(
    sd: float, cap: float, *, level: float = 0.95, power: float | None = None, limit: int = 10_000
) -> int | None:
    """Seeds with which the prediction interval's half-width is at most `cap`, if the sd over seeds is `sd`.

    With `power`, it is so in that share of the studies, because the sd that is seen has luck, too.

    None where no number of seeds does it: the half-width never falls below about 1.96 sd, the new run's own
    noise.
    """
    sd, cap = require.number("sd", sd, at_least=0), require.number("cap", cap, above=0)
    level = require.share("level", level, open_ends=True)
    chance = None if power is None else require.share("power", power, open_ends=True)

    def narrow(seeds: int) -> bool:
        from scipy.special import gammaincinv

        seen = sd
        if chance is not None:
            seen *= math.sqrt(2 * float(gammaincinv((seeds - 1) / 2, chance)) / (seeds - 1))
        return require.quantile_t(level, seeds - 1) * seen * math.sqrt(1 + 1 / seeds) <= cap

    return _smallest(narrow, 2, limit)


def seeds_for_difference(
    sd: float, difference: float, *, alpha: float = 0.05, power: float = 0.8, limit: int = 10_000
) -> int | None:
    """Seeds with which a two-sided paired t test finds a true difference; `sd` is that of the paired
    differences.

    For new seeds on the same items. New items add noise that no number of seeds removes.
    """
    sd, difference = require.number("sd", sd, at_least=0), abs(require.number("difference", difference))
    require.number("difference", difference, above=0)
    power = require.share("power", power, open_ends=True)
    return _smallest(lambda s: _t_power(sd, difference, s, alpha) >= power, 2, limit)


def smallest_difference(sd: float, seeds: int, *, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Smallest true difference that a two-sided paired t test over so many seeds finds; None for one seed."""
    from scipy.optimize import brentq

    seeds = require.count("seeds", seeds, low=1)
    sd = require.number("sd", sd, at_least=0)
    power = require.share("power", power, open_ends=True)
    require.share("alpha", alpha, open_ends=True)
    if power <= alpha:
        raise ValueError(f"power is {power}, alpha {alpha}; power must be above alpha")
    if seeds == 1:
        return None
    if sd == 0:
        return 0.0
    most = 1.0
    while _t_power(1.0, most, seeds, alpha) < power:
        most *= 2
    return float(brentq(lambda d: _t_power(1.0, d, seeds, alpha) - power, 1e-9, most)) * sd


def seeds_for_equivalence(
    sd: float,
    margin: float,
    *,
    difference: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    limit: int = 10_000,
) -> int | None:
    """Seeds with which TOST shows equivalence within `margin`, if the true difference is `difference`.

    `sd` is that of the paired differences; None where the true difference reaches the margin, or above
    `limit`.
    """
    sd, margin = require.number("sd", sd, at_least=0), require.number("margin", margin, above=0)
    difference = require.number("difference", difference)
    power = require.share("power", power, open_ends=True)
    alpha = require.share("alpha", alpha, open_ends=True)
    if abs(difference) >= margin:
        return None
    return _smallest(lambda s: _tost_power(sd, margin, difference, s, alpha) >= power, 2, limit)


def _t_power(sd: float, difference: float, seeds: int, alpha: float) -> float:
    """Power of the two-sided paired t test.

    Averaged over the sd that will be seen, because scipy's noncentral t, which statsmodels takes, is NaN for the
    large effects per sd that deterministic-looking runs have.
    """
    from scipy.special import ndtr

    if sd == 0:
        return 1.0
    seen, error = _seen_sds(sd, seeds), sd / math.sqrt(seeds)
    critical = require.quantile_t(1 - alpha, seeds - 1) * seen / math.sqrt(seeds)
    return float(np.mean(ndtr((difference - critical) / error) + ndtr((-difference - critical) / error)))


def _tost_power(sd: float, margin: float, difference: float, seeds: int, alpha: float) -> float:
    """Power of TOST: the normal probability of the acceptance range, averaged over the sd that will be seen."""
    from scipy.special import ndtr

    if sd == 0:
        return 1.0
    seen, error = _seen_sds(sd, seeds), sd / math.sqrt(seeds)
    room = margin - require.quantile_t(1 - 2 * alpha, seeds - 1) * seen / math.sqrt(seeds)
    chance = ndtr((room - difference) / error) - ndtr((-room - difference) / error)
    return float(np.mean(np.where(room > 0, chance, 0.0)))


def _seen_sds(sd: float, seeds: int) -> require.Floats:
    """Equally likely sample standard deviations of so many normal values."""
    from scipy.special import gammaincinv

    middles = (np.arange(4000) + 0.5) / 4000
    return np.asarray(sd * np.sqrt(2 * gammaincinv((seeds - 1) / 2, middles) / (seeds - 1)))


def _smallest(enough: Callable[[int], bool], start: int, limit: int) -> int | None:
    """Smallest whole number from `start` on for which a condition, once true, stays true; None above
    `limit`."""
    high = start
    while not enough(high):
        if high >= limit:
            return None
        high = min(limit, 2 * high)
    low = max(start - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
