"""What a comparison could have seen at all, in words."""

import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from scratchlab import stats
from scratchlab.runs.metrics import metric as declaration


@cache
def _unit_difference(seeds: int) -> float | None:
    return stats.smallest_difference(1.0, seeds)


@cache
def _smallest_gap(items: int, discordance: float) -> float | None:
    return stats.smallest_gap(items, discordance)


def _seeds(sd: float, n: int, effect: float) -> str:
    """How many seeds find a declared effect: at the spread that was seen, and at the largest that may be behind it."""
    low, high = (stats.seeds_for_difference(one, effect) for one in (sd, stats.largest_sd(sd, n)))
    if low is None:
        return "no number of seeds"
    return (
        f"{low} to {high} seeds (the spread as seen, and with 80% assurance)" if high else f"{low} seeds or many more"
    )


def resolution(metric: str, differences: Sequence[float], items: int, tests: Sequence[Mapping[str, Any]]) -> str:
    """The least that shows with these items and seeds, and how many seeds a declared effect, the metric's, would take.

    `differences`: one a seed, in the metric's unit; `items`: 0 without predictions; `tests`: McNemar by seed.
    """
    show = declaration(metric).width
    parts, n = [], len(differences)
    if items:
        parts.append(f"n = {items}: one item is {show(1 / items)}")
    if n == 1:
        parts.append("one seed shows nothing about another seed")
    else:
        sd = max(statistics.stdev(differences), 0.5 / items if items else 0.0)
        unit = _unit_difference(n)
        if sd and unit is not None:
            parts.append(f"{n} seeds find differences from {show(unit * sd)} on")
            effect = declaration(metric).cap
            if 0 < effect < unit * sd:
                parts.append(f"for one of {show(effect)}, {_seeds(sd, n, effect)}")
            parts.append("p holds for seeds that were chosen beforehand, not added until it is small")
    if tests:
        share = statistics.fmean((t["gained"] + t["lost"]) / t["items"] for t in tests)
        if share > 0:
            least = _smallest_gap(tests[0]["items"], max(round(200 * share) / 200, 0.005))
            seen = f"find gaps from {show(least)} on" if least else "find no gap"
            parts.append(f"on new items, two models that disagree on {100 * share:.1f}% {seen}")
    return "; ".join(parts)
