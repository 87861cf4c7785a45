"""Simulate whole tables of claims with a known truth, and count wrong verdicts and exit codes.

`python benchmarks/simulate_verdicts.py` prints Markdown tables; its output stands in docs/statistics.md. The numbers
are the same at every run. Verdicts are those of `decide`, on records that are made in memory.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scratchlab import stats
from scratchlab.book import claims
from scratchlab.book.claims import Stated
from scratchlab.evidence.runs import RunRecord
from scratchlab.evidence.verdicts import Decision, Verdict, decide, misses
from scratchlab.stats.sequential import LOOKS

ITEMS, EXPERIMENTS = {"train": 1040, "val": 149, "test": 300}, 20
SPREADS, SEEDS = (0.003, 0.01, 0.015), (2, 3, 5, 10)
MOST = LOOKS[1]
"""Seeds up to which one adds them, one at a time."""


def record(name: str, seed: int, metrics: dict[str, Any]) -> RunRecord:
    return RunRecord(Path("simulated"), name, seed, "done", metrics=metrics, device="cpu", task="classify")


def on_the_grid(accuracy: float, items: int) -> float:
    """An accuracy that so many items can have."""
    return round(min(max(accuracy, 0.0), 1.0) * items) / items


def accuracies(draw: np.random.Generator, spread: float, together: float) -> dict[str, float]:
    """One run: three accuracies around 95%, whose luck is shared by so much (a correlation)."""
    shared = draw.standard_normal()
    return {
        f"{split}_accuracy": on_the_grid(
            0.95 + spread * (together**0.5 * shared + (1 - together) ** 0.5 * draw.standard_normal()), items
        )
        for split, items in ITEMS.items()
    }


def table_of_claims(
    draw: np.random.Generator, seeds: int, spread: float, off: float, *, wrong: int | None = None, together: float = 0.8
) -> list[tuple[Stated, Decision]]:
    """Sixty score claims of twenty experiments; the first `wrong` ones (default: all) print a value that is off."""
    found = []
    for number in range(EXPERIMENTS):
        name, shift = f"e{number}", off if wrong is None or number < wrong else 0.0
        runs = {name: [record(name, 200 + seed, accuracies(draw, spread, together)) for seed in range(seeds)]}
        for metric, value in accuracies(draw, spread, together).items():
            entry = {"metric": metric, "kind": "score", "source": "simulated", "n": ITEMS[metric.split("_")[0]]}
            stated = Stated(name, claims.parse(entry | {"value": round(value - shift, 4)}, "simulated"))
            found.append((stated, decide(stated, runs, {})))
    return found


def whole_tables(count: int) -> None:
    print(f"\n### Tables of 60 score claims, {count} tables a row\n")
    heads = ("REPRODUCED", "NOT_REPRODUCED", "INCONCLUSIVE", "exit code 1", "any NOT_REPRODUCED")
    print(f"| claims | seed sd | seeds | {' | '.join(f'{head} %' for head in heads)} |")
    print("|---|--:|--:|" + "--:|" * len(heads))
    cases: list[tuple[str, float, int | None]] = [("60 true", 0.0, None), ("60 five points off", 0.05, None)]
    cases += [("3 of 60 ten points off", 0.1, 1)]
    for what, off, wrong in cases:
        for spread in SPREADS:
            for seeds in SEEDS:
                draw = np.random.default_rng([seeds, round(1e4 * spread), round(1e4 * off), wrong or 0])
                verdicts: Counter[Verdict] = Counter()
                ends = plain = 0
                for _ in range(count):
                    found = table_of_claims(draw, seeds, spread, off, wrong=wrong)
                    verdicts.update(decision.verdict for _, decision in found)
                    ends += misses(found).beyond_chance > 0
                    plain += any(decision.verdict is Verdict.NOT_REPRODUCED for _, decision in found)
                kinds = (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)
                shares = " | ".join(f"{100 * verdicts[kind] / verdicts.total():.1f}" for kind in kinds)
                print(
                    f"| {what} | {100 * spread:g} | {seeds} | {shares} | {100 * ends / count:.1f} "
                    f"| {100 * plain / count:.1f} |"
                )


def in_steps(count: int, differences: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For every number of seeds that one may stop at: mean and standard error of each study's differences, (count,)."""
    for n in range(LOOKS[0], MOST + 1):
        part = differences[:, :n]
        yield n, part.mean(axis=1), part.std(axis=1, ddof=1) / n**0.5


def added_seeds(count: int) -> None:
    """Errors and power of relations when a seed is added until the interval decides."""
    from scipy.special import stdtrit

    draw = np.random.default_rng(7)
    print(f"\n### Seeds added one at a time, from 3 to {MOST}, until a relation is decided; {count} studies\n")
    print("| what, in % | 95% at every look (before) | 99.25% at every look |")
    print("|---|--:|--:|")
    rows: dict[str, list[float]] = {}
    for level in (0.95, stats.DIFFERENCE_LEVEL):
        for effect in (0.0, 0.5, 1.0, 2.0):
            differences = effect + np.random.default_rng(8).standard_normal((count, MOST))
            open_, higher = np.ones(count, bool), np.zeros(count, bool)
            at: dict[int, float] = {}
            for n, mean, error in in_steps(count, differences):
                half = stdtrit(n - 1, (1 + level) / 2) * error
                higher |= open_ & (mean - half > 0)
                open_ &= np.abs(mean) <= half
                at[n] = float(np.mean(mean - half > 0))
            what = f"`higher` found, true difference {effect:g} sd" + (" (should be 2.5 or less)" if not effect else "")
            rows.setdefault(what, []).append(float(higher.mean()))
            rows.setdefault(f"the same with 5 seeds and one look, {effect:g} sd", []).append(at[5])
    for alpha in (0.05, stats.EQUIVALENCE_ALPHA):
        edge = 1 + draw.standard_normal((count, MOST))
        shown = np.zeros(count, bool)
        for n, mean, error in in_steps(count, edge):
            half = stdtrit(n - 1, 1 - alpha) * error
            shown |= (mean + half < 1) & (mean - half > -1)
        rows.setdefault("`same` shown, true difference is the margin (should be 5 or less)", []).append(shown.mean())
    for what, (before, now) in rows.items():
        print(f"| {what} | {100 * before:.1f} | {100 * now:.1f} |")


def scores_with_added_seeds(count: int) -> None:
    """A true score, where seeds are added from three on until it is REPRODUCED or NOT_REPRODUCED."""
    print(f"\n### A score, seeds added from 3 to {MOST} until it is decided; {count} studies\n")
    print("| seed sd | true: NOT_REPRODUCED % | five points off: REPRODUCED % |")
    print("|--:|--:|--:|")
    for spread in SPREADS:
        wrong = {0.0: 0, 0.05: 0}
        for off in wrong:
            draw = np.random.default_rng([9, round(1e4 * spread), round(1e4 * off)])
            bad = Verdict.REPRODUCED if off else Verdict.NOT_REPRODUCED
            for _ in range(count):
                printed = round(accuracies(draw, spread, 0.8)["test_accuracy"] - off, 4)
                entry = {"metric": "test_accuracy", "kind": "score", "source": "simulated", "n": 300, "value": printed}
                stated = Stated("e", claims.parse(entry, "simulated"))
                runs = [record("e", 200 + seed, accuracies(draw, spread, 0.8)) for seed in range(MOST)]
                for seeds in range(3, MOST + 1):
                    verdict = decide(stated, {"e": runs[:seeds]}, {}).verdict
                    if verdict is not Verdict.INCONCLUSIVE:
                        wrong[off] += verdict is bad
                        break
        print(f"| {100 * spread:g} | {100 * wrong[0.0] / count:.1f} | {100 * wrong[0.05] / count:.1f} |")


def advice(count: int) -> None:
    """Follow the advice of three seeds: how often does the number of seeds that it names decide?"""
    draw = np.random.default_rng(11)
    print(f"\n### Advice from three seeds, followed; {count} studies\n")
    print("| question | low end | high end | no high end |")
    print("|---|--:|--:|--:|")
    for what, effect in (("a difference of 3 points, seed sd 1 point", 0.03), ("no difference, margin 3 points", 0.0)):
        decided, none = [0, 0], 0
        for _ in range(count):
            sd = float(np.std(0.0141 * draw.standard_normal(3), ddof=1))
            ends = (sd, stats.largest_sd(sd, 3))
            for place, spread in enumerate(ends):
                if effect:
                    n = stats.seeds_for_difference(spread, effect, alpha=1 - stats.DIFFERENCE_LEVEL)
                else:
                    n = stats.seeds_for_equivalence(spread, 0.03, alpha=stats.EQUIVALENCE_ALPHA)
                if n is None:
                    none += 1
                    continue
                values = effect + 0.0141 * draw.standard_normal(max(n, 3))
                if effect:
                    decided[place] += stats.summarize(values, level=stats.DIFFERENCE_LEVEL).low > 0
                else:
                    same = stats.equivalence(values, 0 * values, margin=0.03, alpha=stats.EQUIVALENCE_ALPHA)
                    decided[place] += same.equivalent
        print(
            f"| {what} | {100 * decided[0] / count:.0f} | {100 * decided[1] / count:.0f} | {100 * none / count:.0f} |"
        )


def counts(count: int) -> None:
    """Counts of 1,000 draws by seed: how often is a right and a wrong probability refused?"""
    print(f"\n### Counts of 1,000 draws at probability 0.043, NOT_REPRODUCED in %; {count} studies\n")
    print("| true probability | 1 seed | 3 seeds | 5 seeds | 10 seeds |")
    print("|---|--:|--:|--:|--:|")
    entry = {"metric": "word_count", "kind": "count", "source": "simulated", "n": 1000, "value": 32}
    stated = Stated("e", claims.parse(entry | {"probability": 0.043}, "simulated"))
    for what, true in (("0.043", [0.043]), ("0.050", [0.05]), ("0.060", [0.06]), ("0.02 and 0.066", [0.02, 0.066])):
        cells = []
        for seeds in (1, 3, 5, 10):
            draw = np.random.default_rng([13, seeds])
            bad = 0
            for _ in range(count):
                hits = [int(draw.binomial(1000, true[seed % len(true)])) for seed in range(seeds)]
                runs = [record("e", 200 + seed, {"word_count": hit}) for seed, hit in enumerate(hits)]
                bad += decide(stated, {"e": runs}, {}).verdict is Verdict.NOT_REPRODUCED
            cells.append(f"{100 * bad / count:.1f}")
        print(f"| {what} | {' | '.join(cells)} |")


def samples(count: int) -> None:
    """Our seeds against published replicates: how often are two samples of one recipe called unlike, and of two?"""
    print(f"\n### Two samples called unlike in %, accuracies of 300 messages; {count} studies\n")
    print("| seed sd, ours; theirs | true difference | 3 and 3 | 5 and 3 | 5 and 5 | 10 and 5 |")
    print("|---|--:|--:|--:|--:|--:|")
    step = stats.resolution(300)
    for ours, theirs in ((0.001, 0.001), (0.01, 0.01), (0.003, 0.015), (0.015, 0.003)):
        for off in (0.0, 0.02, 0.05):
            cells = []
            for n, published in ((3, 3), (5, 3), (5, 5), (10, 5)):
                draw = np.random.default_rng([17, n, published, round(1e4 * ours), round(1e4 * off)])
                unlike = 0
                for _ in range(count):
                    one = [on_the_grid(0.9 + ours * draw.standard_normal(), 300) for _ in range(n)]
                    other = [on_the_grid(0.9 + off + theirs * draw.standard_normal(), 300) for _ in range(published)]
                    unlike += not stats.two_samples(one, other, resolution=step).contains(0.0)
                cells.append(f"{100 * unlike / count:.1f}")
            spreads = f"{100 * ours:g}; {100 * theirs:g} points"
            print(f"| {spreads} | {100 * off:g} points | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200, help="tables of 60 claims a row")
    parser.add_argument("--studies", type=int, default=1000, help="studies a cell of the others; relations: 40 times")
    chosen = parser.parse_args()
    whole_tables(chosen.tables)
    added_seeds(40 * chosen.studies)
    scores_with_added_seeds(chosen.studies)
    advice(chosen.studies)
    counts(chosen.studies)
    samples(chosen.studies)


if __name__ == "__main__":
    main()
