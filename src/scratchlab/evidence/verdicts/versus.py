"""Claims about two experiments: relations, paired by seed, and ratios."""

import math
import statistics
from typing import Any

from scratchlab import stats
from scratchlab.evidence.confounds import judge_card, several_factors, unexplained, unlike
from scratchlab.evidence.runs import Arm
from scratchlab.evidence.verdicts.advice import LEAST_SEEDS, POWER, cap_of, seeds_range, told
from scratchlab.evidence.verdicts.comparable import diverged, other_device
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.evidence.verdicts.single import nan_verdict
from scratchlab.runs.claim import Claim, Direction
from scratchlab.runs.metrics import metric

LEVEL, ALPHA = stats.DIFFERENCE_LEVEL, stats.EQUIVALENCE_ALPHA
"""Of a direction's interval and of the tests of sameness; they hold although seeds are added until one decides."""
WRONG_SIDE, NOT_SAME = 0.025, 0.05
"""Chances that the test of a relation misses it, whatever number of seeds it is looked at."""
REPEATS = 3
TIME_CAP = 0.1
"""Half-width, relative, beyond which a ratio of times tells nothing."""


def relation(claim: Claim, variant: Arm, baseline: Arm, *, known: bool) -> Decision:
    """Is one arm higher, lower or the same, by the margin, on the same seeds? `known`: experiment files say why
    the two differ, so that more than one setting may.
    """
    common: dict[str, Any] = {"device": variant.runs[0].device}
    if problem := _incomparable(claim, variant, baseline, known=known):
        return Decision(Verdict.NOT_COMPARABLE, problem, seeds=tuple(variant.seeds), **common)
    if broken := nan_verdict(claim, variant.runs):
        return broken
    if lost := diverged(claim, baseline.runs):
        reason = f"{len(lost)} of {len(baseline.runs)} runs of {claim.versus} diverged: nothing to hold it against"
        return Decision(Verdict.INCONCLUSIVE, reason, seeds=tuple(baseline.seeds), **common)
    seeds = sorted(set(variant.seeds) & set(baseline.seeds))
    if not seeds:
        reason = (
            f"no seed in common: {variant.name} has {_list(variant.seeds)}, {baseline.name} {_list(baseline.seeds)}; "
            f"run it with: scratchlab -m experiment={baseline.name} seed={_list(variant.seeds)}"
        )
        return Decision(Verdict.NOT_RUN, reason, **common)
    if problem := unlike(variant, baseline, claim.metric):
        return Decision(Verdict.NOT_COMPARABLE, problem, seeds=tuple(seeds), **common)
    alone = sorted(set(variant.seeds) ^ set(baseline.seeds))
    notes: tuple[str, ...] = (f"seeds that only one arm has are left out: {_list(alone)}",) if alone else ()
    ours = [float(variant.run(seed).metrics[claim.metric]) for seed in seeds]
    theirs = [float(baseline.run(seed).metrics[claim.metric]) for seed in seeds]
    if len(devices := {run.device for arm in (variant, baseline) for run in arm.runs if run.seed in seeds}) > 1:
        notes += (f"the arms ran on different devices: {', '.join(sorted(devices))}",)
    common |= {"seeds": tuple(seeds), "notes": notes + _identical(variant, baseline, seeds)}
    step = stats.resolution(claim.n or _items(variant, claim)) if metric(claim.metric).items else None
    if claim.direction is Direction.same:
        return _same(claim, ours, theirs, step, common)
    return _direction(claim, ours, theirs, step, common)


def _incomparable(claim: Claim, variant: Arm, baseline: Arm, *, known: bool) -> str:
    problems = unexplained(variant, baseline, claim.metric, aside=("device",))
    if metric(claim.metric).judged and judge_card(variant.runs[0]) != judge_card(baseline.runs[0]):
        return f"other judge: {judge_card(variant.runs[0])}, {claim.versus} {judge_card(baseline.runs[0])}"
    if not known and (several := several_factors(variant, baseline, claim.metric)):
        problems.append(several)
    ours, theirs = variant.runs[0].hashes.get("data"), baseline.runs[0].hashes.get("data")
    if ours and theirs and ours != theirs:
        return f"other data: {ours[:12]}, {claim.versus} {theirs[:12]}"
    return "confounded: " + "; ".join(problems) if problems else ""


def _items(arm: Arm, claim: Claim) -> int:
    items = arm.runs[0].items(metric(claim.metric).split)
    return len(items.index) if items is not None else metric(claim.metric).items


def _identical(variant: Arm, baseline: Arm, seeds: list[int]) -> tuple[str, ...]:
    prints = [(variant.run(s).history_digest, baseline.run(s).history_digest) for s in seeds]
    if all(a and a == b for a, b in prints):
        return ("both arms have the same losses to the last digit: what differs between them had no effect",)
    return ()


def _list(seeds: list[int]) -> str:
    return ",".join(map(str, seeds))


def _paired(ours: list[float], theirs: list[float], step: float | None) -> stats.Summary:
    """Mean paired difference with its t interval.

    A difference of two accuracies moves in the same steps as one of them, so the floor of half a step holds.
    """
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if len(differences) > 1 and max(differences) - min(differences) <= 1e-12:
        differences = [differences[0]] * len(differences)  # the last bit of equal differences is no spread
    return stats.summarize(differences, level=LEVEL, resolution=step)


def _direction(
    claim: Claim, ours: list[float], theirs: list[float], step: float | None, common: dict[str, Any]
) -> Decision:
    m, sign = metric(claim.metric), 1 if claim.direction is Direction.higher else -1
    found = _paired(ours, theirs, step)
    common |= {"measured": found.value}
    least = f" by {m.width(claim.margin)} or more" if claim.margin else ""
    common["test"] = (
        f"paired by seed: the t interval of the difference must lie {claim.direction.name}{least}; its level, "
        f"{100 * LEVEL:.2f}%, holds 95% although seeds are added one at a time; other items are another question"
    )
    reason = f"{m.difference(found.value)} against {claim.versus} over {found.n} seed{'s' * (found.n > 1)}"
    if found.n < LEAST_SEEDS:
        return _too_few(reason, found.n, common)
    common |= {"interval": (found.low, found.high), "chance": WRONG_SIDE}
    low, high = sorted((sign * found.low, sign * found.high))
    reason += f", interval {m.difference(found.low)} to {m.difference(found.high)}"
    if low > 0 and low >= claim.margin:
        return Decision(Verdict.REPRODUCED, reason, **common)
    sd = max(found.sd or 0.0, (step or 0.0) / 2)
    common["detectable"] = detectable = stats.smallest_difference(sd, found.n, alpha=1 - LEVEL)
    if high < claim.margin or high <= 0:
        how = "the other way" if high < 0 else "smaller than claimed"
        p = _p(found, max(claim.margin, 0.0) - sign * found.value, step)
        return Decision(Verdict.NOT_REPRODUCED, f"{reason}: {how}", p=p, **common)
    effect = cap_of(claim, statistics.fmean(map(abs, theirs)))
    reason += f"; {found.n} seeds find a difference from {m.width(detectable or math.inf)} on"
    if not effect:
        return Decision(Verdict.INCONCLUSIVE, reason, **common)
    low_n, high_n = seeds_range(
        lambda spread: stats.seeds_for_difference(spread, effect, alpha=1 - LEVEL, power=POWER), sd, found.n
    )
    reason += f"; if the true difference is {m.width(effect)} from {m.width(claim.margin)}, {told(low_n, high_n)}"
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=low_n, seeds_assured=high_n, **common)


def _too_few(reason: str, pairs: int, common: dict[str, Any]) -> Decision:
    reason += f"; {'one pair shows' if pairs == 1 else f'{pairs} pairs show'} too little of the spread to tell: "
    reason += f"a relation needs {LEAST_SEEDS} seeds in common"
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=LEAST_SEEDS, **common)


def _p(found: stats.Summary, off: float, step: float | None) -> float:
    """One-sided p of a true difference so far from the mean, at whatever number of seeds one stops."""
    return min(1.0, stats.INFLATION * stats.p_of_mean(found, off, resolution=step))


def _same(claim: Claim, ours: list[float], theirs: list[float], step: float | None, common: dict[str, Any]) -> Decision:
    m = metric(claim.metric)
    found = stats.equivalence(ours, theirs, margin=claim.margin, alpha=ALPHA, resolution=step)
    common |= {"measured": found.value}
    common["test"] = (
        f"equivalence, two one-sided t tests: the difference lies within {m.width(claim.margin)}; each at "
        f"{100 * ALPHA:.1f}%, which holds 5% although seeds are added one at a time"
    )
    reason = f"{m.difference(found.value)} against {claim.versus} over {found.seeds} seed{'s' * (found.seeds > 1)}"
    if found.seeds < LEAST_SEEDS:
        return _too_few(reason, found.seeds, common)
    common |= {"interval": (found.low, found.high), "chance": NOT_SAME}
    reason += f", interval {m.difference(found.low)} to {m.difference(found.high)}"
    if found.equivalent:
        return Decision(Verdict.REPRODUCED, reason, **common)
    if found.low > claim.margin or found.high < -claim.margin:
        p = _p(_paired(ours, theirs, step), abs(found.value) - claim.margin, step)
        return Decision(Verdict.NOT_REPRODUCED, f"{reason}: farther apart than the margin", p=p, **common)
    sd = max(statistics.stdev([a - b for a, b in zip(ours, theirs, strict=True)]), (step or 0.0) / 2)
    low, high = seeds_range(
        lambda spread: stats.seeds_for_equivalence(spread, claim.margin, alpha=ALPHA, power=POWER), sd, found.seeds
    )
    reason += f"; sameness is not shown, and neither is a difference; if there is none, {told(low, high)} to show it"
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=low, seeds_assured=high, **common)


def ratio(claim: Claim, variant: Arm, baseline: Arm | None) -> Decision:
    """Quotients: of counts exactly, of times by an interval, and then only on the published device."""
    if broken := nan_verdict(claim, variant.runs) or (nan_verdict(claim, baseline.runs) if baseline else None):
        return broken
    common: dict[str, Any] = {"seeds": tuple(variant.seeds), "device": variant.runs[0].device}
    timed = metric(claim.metric).timed
    if problem := other_device(claim, [run for arm in (variant, baseline) if arm for run in arm.runs]):
        return Decision(Verdict.NOT_COMPARABLE, problem, **common)
    if baseline and (problem := unlike(variant, baseline, claim.metric)):
        return Decision(Verdict.NOT_COMPARABLE, problem, **common)
    seeds = sorted(set(variant.seeds) & set(baseline.seeds)) if baseline else variant.seeds
    if not seeds:
        return Decision(Verdict.NOT_RUN, f"no seed in common with {claim.versus}", **common)
    below = [float(baseline.run(s).metrics[claim.metric]) if baseline else 1.0 for s in seeds]
    if not all(below):
        return Decision(Verdict.NOT_COMPARABLE, f"{claim.metric} of {claim.versus} is 0: there is no ratio", **common)
    found = [float(variant.run(s).metrics[claim.metric]) / b for s, b in zip(seeds, below, strict=True)]
    common |= {"measured": statistics.fmean(found), "seeds": tuple(seeds)}
    if timed:
        return _timed(claim, found, common)
    if claim.value is None:
        sign = {Direction.higher: 1, Direction.lower: -1}.get(claim.direction, 0)
        holds = all(sign * (x - 1) > claim.margin if sign else abs(x - 1) <= claim.margin for x in found)
        test = f"every ratio is {claim.direction.name} than 1 by more than {claim.margin:g}"
    else:
        slack = max(claim.tolerance * abs(claim.value), _rounding(claim.value))
        holds = all(abs(x - claim.value) <= slack for x in found)
        test = f"every ratio equals the published one within its rounding ({slack:.2g})"
    reason = f"ratio {found[0]:.6g} to {claim.versus or 'nothing'}, published {claim.value}"
    return Decision(Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED, reason, test=test, **common)


def _rounding(printed: float) -> float:
    text = repr(printed)
    return 0.5 * 10.0 ** -len(text.partition(".")[2]) * (1 + 1e-9) if "e" not in text else 0.0


def _timed(claim: Claim, found: list[float], common: dict[str, Any]) -> Decision:
    common["test"] = f"95% prediction interval for one more ratio of times, at most {TIME_CAP:.0%} to each side"
    if len(found) < REPEATS:
        reason = f"{len(found)} repeats; times need {REPEATS}"
        return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=REPEATS, **common)
    interval = stats.prediction_interval(found)
    common["interval"] = (interval.low, interval.high)
    reason = f"ratio {interval.value:.3g}, published {claim.value}"
    common["chance"] = 0.05
    if not interval.contains(claim.value):
        p = stats.p_of_new_run(interval, interval.value - claim.value)
        return Decision(Verdict.NOT_REPRODUCED, reason, p=p, **common)
    narrow = interval.half_width <= TIME_CAP * interval.value
    return Decision(Verdict.REPRODUCED if narrow else Verdict.INCONCLUSIVE, reason, **common)
