"""Simulate many studies with a known truth and count how often each interval and test of scratchlab.stats is right.

`python benchmarks/simulate_statistics.py` prints Markdown tables in about two minutes on one core; its output
stands in docs/statistics.md. The numbers are the same at every run.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from scratchlab import stats

ITEMS, ACCURACY = 300, 0.95
SEEDS, SPREADS = (2, 3, 5, 10), (0.005, 0.010, 0.015)
DIFFICULTY = 8.0
"""Standard deviation of the items' difficulty, in units of one run's luck with an item: most are always right."""
SHARED = 0.95
"""Correlation of difficulty between two different arms; two seeds of one arm share all of it."""


@dataclass
class Study:
    """Two arms, (S, n) each, and what each question's true answer is."""

    variant: np.ndarray
    baseline: np.ndarray
    new_runs: np.ndarray
    """One more run of the variant on the same items, (n,)."""
    truth: dict[str, float]
    models: np.ndarray
    """True accuracy of each trained variant on all items there could be, (S,)."""


def center(accuracy: float, shift: float) -> float:
    """Mean of the latent score that gives this accuracy over all items and seeds."""
    return float(ndtri(accuracy)) * math.sqrt(1 + DIFFICULTY**2 + shift**2)


def shift_for(spread: float) -> float:
    """Standard deviation of a seed's common shift that makes accuracies over ITEMS items spread this much."""
    nodes = ndtri((np.arange(1000) + 0.5) / 1000)  # equally likely values of a standard normal

    def excess(shift: float) -> float:
        mean = center(ACCURACY, shift)
        by_seed = ndtr((mean + shift * nodes) / math.sqrt(1 + DIFFICULTY**2))
        right = ndtr(mean + DIFFICULTY * nodes[:, None] + shift * nodes)  # items x seeds
        luck = np.mean(right * (1 - right)) / ITEMS
        return float(np.var(by_seed) + luck) - spread**2

    return float(brentq(excess, 0, 10)) if excess(0) < 0 else 0.0


def studies(count: int, seeds: int, spread: float, *, gap: float = 0.0, shared: float = SHARED) -> Iterator[Study]:
    """Independent studies. `shared=1` and no gap: both arms are the same config with other seeds (A/A)."""
    draw = np.random.default_rng([seeds, round(spread * 1e4), round(gap * 1e4), round(shared * 1e4)])
    shift = shift_for(spread)
    low, high = center(ACCURACY - gap, shift), center(ACCURACY, shift)
    for _ in range(count):
        ease = DIFFICULTY * draw.standard_normal(ITEMS)
        other = shared * ease + math.sqrt(1 - shared**2) * DIFFICULTY * draw.standard_normal(ITEMS)
        moves = shift * draw.standard_normal((2, seeds + 1, 1))
        luck = draw.standard_normal((2, seeds + 1, ITEMS))
        baseline = low + ease + moves[0] + luck[0] > 0
        variant = high + other + moves[1] + luck[1] > 0
        all_seeds = math.sqrt(1 + shift**2)
        all_items = math.sqrt(1 + DIFFICULTY**2)
        models = ndtr((high + moves[1, :-1, 0]) / all_items)
        truth = {
            "seeds": float(np.mean(ndtr((high + other) / all_seeds) - ndtr((low + ease) / all_seeds))),
            "items": float(models.mean() - np.mean(ndtr((low + moves[0, :-1]) / all_items))),
            "both": gap,
            "mean": float(np.mean(ndtr((high + other) / all_seeds))),
        }
        yield Study(variant[:-1] * 1.0, baseline[:-1] * 1.0, variant[-1] * 1.0, truth, models)


def rates(
    count: int, judge: Callable[[Study], dict[str, bool]], seeds: int, spread: float, **options: float
) -> dict[str, float]:
    """Share of the studies in which each named thing was so."""
    found = [judge(study) for study in studies(count, seeds, spread, **options)]
    return {name: sum(one[name] for one in found) / count for name in found[0]}


def one_arm(study: Study) -> dict[str, bool]:
    runs = study.variant.mean(axis=1)
    step, new_run = stats.resolution(ITEMS), float(study.new_runs.mean())
    wilson = stats.wilson(int(study.variant[0].sum()), ITEMS)
    return {
        "mean of all seeds: t interval": stats.summarize(runs, resolution=step).contains(study.truth["mean"]),
        "the same, without the floor of half an item": stats.summarize(runs).contains(study.truth["mean"]),
        "one new run: prediction interval": stats.prediction_interval(runs, resolution=step).contains(new_run),
        "the same, without the floor": stats.prediction_interval(runs).contains(new_run),
        "one new run: mean +/- 2 sd (do not)": abs(new_run - runs.mean()) <= 2 * runs.std(ddof=1),
        "this model on new items: Wilson": wilson.contains(float(study.models[0])),
    }


def two_arms(study: Study) -> dict[str, bool]:
    arms, truth = (study.variant, study.baseline), study.truth
    return {
        'new seeds: `paired_difference(to="seeds")`': stats.paired_difference(*arms, to="seeds").contains(
            truth["seeds"]
        ),
        'new items: `paired_difference(to="items")`': stats.paired_difference(*arms, to="items").contains(
            truth["items"]
        ),
        'both: `paired_difference(to="both")`': stats.paired_difference(*arms, to="both").contains(truth["both"]),
    }


def bootstrap(study: Study) -> dict[str, bool]:
    interval = stats.hierarchical_bootstrap(study.variant, study.baseline, resamples=500)
    return {"both: `hierarchical_bootstrap`": interval.contains(study.truth["both"])}


def alarms(study: Study) -> dict[str, bool]:
    """Which tests call the arms different at 5 %."""
    arms = (study.variant, study.baseline)
    one_seed = stats.mcnemar(study.variant[0], study.baseline[0])
    pooled = stats.mcnemar(study.variant.ravel(), study.baseline.ravel())
    by_seed, both = (stats.paired_difference(*arms, to=to) for to in ("seeds", "both"))
    return {
        '`paired_difference(to="seeds")`': (by_seed.p or 0) <= 0.05,
        '`paired_difference(to="both")`': (both.p or 0) <= 0.05,
        "`mcnemar`, first seed only": one_seed.p <= 0.05,
        "McNemar over all seeds' items pooled (do not)": pooled.p <= 0.05,
    }


def slow_alarms(study: Study) -> dict[str, bool]:
    arms = (study.variant, study.baseline)
    return {
        "`sign_flip`": stats.sign_flip(*arms, resamples=999).p <= 0.05,
        "`hierarchical_bootstrap` (do not, below ten seeds)": (
            not stats.hierarchical_bootstrap(*arms, resamples=500).contains(0)
        ),
    }


def real_alarms(study: Study) -> dict[str, bool]:
    found = alarms(study)
    runs, gap = study.variant.mean(axis=1), study.truth["both"]
    printed = stats.prediction_interval(runs, resolution=stats.resolution(ITEMS))
    return {name: found[name] for name in found if "do not" not in name} | {
        "`prediction_interval` against one score that is off by the gap": (
            not printed.contains(float(study.new_runs.mean()) - gap)
        )
    }


def equivalent(study: Study) -> dict[str, bool]:
    step = stats.resolution(ITEMS)
    arms = study.variant.mean(axis=1), study.baseline.mean(axis=1)
    return {
        f"margin {points} point{'s'[: points > 1]}": stats.equivalence(
            *arms, margin=points / 100, resolution=step
        ).equivalent
        for points in (1, 2, 3)
    }


def wrongly_equivalent(study: Study) -> dict[str, bool]:
    """The margin is exactly the true difference on these items, so "equivalent" is wrong."""
    arms = study.variant.mean(axis=1), study.baseline.mean(axis=1)
    margin = abs(study.truth["seeds"])
    result = stats.equivalence(*arms, margin=margin, resolution=stats.resolution(ITEMS))
    return {"margin = the true difference": result.equivalent}


def table(title: str, rows: dict[tuple[str, ...], dict[int, float]], heads: tuple[str, ...]) -> None:
    print(f"\n### {title}\n")
    print("| " + " | ".join((*heads, *(f"{seeds} seeds" for seeds in SEEDS))) + " |")
    print("|" + "---|" * len(heads) + "--:|" * len(SEEDS))
    for names, cells in rows.items():
        print("| " + " | ".join((*names, *(f"{100 * cells[s]:.1f}" for s in SEEDS))) + " |")


def collect(
    count: int, judge: Callable[[Study], dict[str, bool]], variations: list[dict[str, float]]
) -> dict[tuple[str, ...], dict[int, float]]:
    """Rows {(name, what varied): {seeds: rate}}, sorted by name."""
    rows: dict[tuple[str, ...], dict[int, float]] = {}
    for options in variations:
        label = f"{100 * options.get('gap', options['spread']):g}"
        for seeds in SEEDS:
            for name, rate in rates(count, judge, seeds, **options).items():
                rows.setdefault((name, label), {})[seeds] = rate
    order = list(dict.fromkeys(name for name, _ in rows))
    return {key: rows[key] for name in order for key in rows if key[0] == name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--studies", type=int, default=2000, help="simulated studies per cell (slow methods: a quarter)"
    )
    count = parser.parse_args().studies
    few = max(1, count // 4)
    spreads: list[dict[str, float]] = [{"spread": spread} for spread in SPREADS]
    same: list[dict[str, float]] = [{"spread": spread, "shared": 1.0} for spread in SPREADS]
    gaps: list[dict[str, float]] = [{"spread": 0.01, "gap": gap} for gap in (0.01, 0.02, 0.05)]
    heads = ("what it is for, and how", "seed sd")
    error = 100 * math.sqrt(0.05 * 0.95 / count)
    print(
        f"{ITEMS} items, accuracy {100 * ACCURACY:g} %, {count} simulated studies a cell ({few} for the bootstrap and "
        f"the sign flip). All numbers are percent, seed sd and gaps are points; a 5.0 or 95.0 is uncertain by about "
        f"{error:.1f} ({100 * math.sqrt(0.05 * 0.95 / few):.1f})."
    )
    table("Coverage, one arm (should be 95)", collect(count, one_arm, spreads), heads)
    table(
        "Coverage, difference of two arms that are equally good on different items (should be 95)",
        collect(count, two_arms, spreads) | collect(few, bootstrap, spreads),
        heads,
    )
    table(
        "False alarms, the same config with other seeds, A/A (should be 5 or less)",
        collect(count, alarms, same) | collect(few, slow_alarms, same),
        ("test", "seed sd"),
    )
    table(
        "Power, seed sd 1 point at 95 % (more at 90 %, the other arm of a gap of 5)",
        collect(count, real_alarms, gaps),
        ("test", "true gap"),
    )
    table("Equivalence shown (TOST, 5 %), A/A", collect(count, equivalent, same), ("test", "seed sd"))
    table(
        "Equivalence wrongly shown (should be 5 or less)",
        collect(count, wrongly_equivalent, gaps),
        ("test", "true gap"),
    )


if __name__ == "__main__":
    main()
