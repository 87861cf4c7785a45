"""A comparison in a sentence with its number: which arm is ahead, by how much, and whether that is more than noise."""

import os
from collections.abc import Mapping, Sequence

from scratchlab import stats
from scratchlab.evidence.pairs import Pair, all_pairs
from scratchlab.evidence.runs import Arm
from scratchlab.runs.metrics import Better, Unit
from scratchlab.runs.metrics import metric as declaration


def headline(found: Sequence[Arm], metric: str, pairs: Sequence[Pair] | None = None) -> str:
    """`mean beats last_real by 4.1 points [1.5, 6.8], p = .02; first is at chance`; empty where there is no pair."""
    pairs = all_pairs(found, metric) if pairs is None else pairs
    if not pairs:
        return ""
    better = declaration(metric).better
    sign = -1 if better is Better.lower else 1
    means = {arm.label: sum(values) / len(values) for arm in found if (values := arm.values(metric))}
    ranked = sorted(means, key=lambda label: -sign * means[label])
    if len(ranked) < 2:
        return ""
    names = short_names([arm.label for arm in found])
    top, second, *_ = ranked
    parts = [_sentence(_of(pairs, top, second), metric, names, sign)]
    if not _of(pairs, top, second).shown:
        further = [_of(pairs, top, label) for label in ranked[2:]]
        if shown := next((pair for pair in further if pair.shown), None):
            parts.append(f"but {_sentence(shown, metric, names, sign)}")
    low = [names[arm.label] for arm in found if at_chance(arm, metric)]
    if low:
        parts.append(f"{_listed(low)} {'is' if len(low) == 1 else 'are'} at chance")
    return "; ".join(parts)


def _of(pairs: Sequence[Pair], arm: str, versus: str) -> Pair:
    """The pair in this direction, whichever way it was measured."""
    for pair in pairs:
        if (pair.arm, pair.versus) == (arm, versus):
            return pair
        if (pair.versus, pair.arm) == (arm, versus):
            value = None if pair.value is None else -pair.value
            interval = [-pair.interval[1], -pair.interval[0]] if pair.interval else None
            return Pair(arm, versus, value, interval, pair.p, pair.p_holm, pair.seeds, pair.problem)
    raise KeyError(f"no pair of {arm} and {versus}")


def _sentence(pair: Pair, metric: str, names: Mapping[str, str], sign: int) -> str:
    arm, versus = names[pair.arm], names[pair.versus]
    if pair.value is None:
        return f"{arm} and {versus} cannot be compared: {pair.problem}"
    if "to the last digit" in pair.problem:
        return f"{arm} and {versus} have {pair.problem}"
    neither = declaration(metric).better is Better.neither
    by = width(metric, sign * pair.value)
    interval = sorted(sign * bound for bound in pair.interval) if pair.interval else None
    bounds = f" [{number(metric, interval[0])}, {number(metric, interval[1])}]" if interval else ""
    told = f"{by}{bounds}" + (f", {p_text(pair.p_holm)}" if pair.p_holm is not None else "")
    if pair.problem:
        return f"{arm} and {versus} differ by {told}, but this is {pair.problem}"
    if pair.shown:
        return f"{arm} {'is above' if neither else 'beats'} {versus} by {told}"
    ahead = f"{arm} is {'above' if neither else 'ahead of'} {versus} by {told}"
    if pair.p is None:
        return f"{ahead}, on {'one seed' if pair.seeds == 1 else f'{pair.seeds} seeds'}: another seed may say otherwise"
    return f"{ahead}: not more than noise" + (f" on {pair.seeds} seeds" if pair.seeds < 5 else "")


def short_names(labels: Sequence[str]) -> dict[str, str]:
    """Labels without what all of them begin with, as `position=`."""
    start = os.path.commonprefix(list(labels))
    cut = start[: start.rfind("=") + 1] if len(labels) > 1 else ""
    return {label: label[len(cut) :] if cut and "," not in cut and len(label) > len(cut) else label for label in labels}


def width(metric: str, value: float) -> str:
    """The size of a difference, rounded for a sentence."""
    unit = {Unit.fraction: " points", Unit.points: " points", Unit.seconds: " seconds", Unit.nats: " nats"}
    return number(metric, abs(value)) + unit.get(declaration(metric).unit, "")


def number(metric: str, value: float) -> str:
    if declaration(metric).unit is Unit.fraction:
        return f"{100 * value:.1f}"
    return f"{value:.3g}"


def p_text(p: float) -> str:
    """`p = .02`: two digits that count, no zero before the point."""
    if p < 0.001:
        return "p < .001"
    digits = f"{p:.3f}" if p < 0.01 else f"{p:.2f}"
    return f"p = {digits.removeprefix('0')}"


def _listed(names: Sequence[str]) -> str:
    if any("," in name for name in names):  # where a comma is part of a name it parts no names
        return " and ".join(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def at_chance(arm: Arm, metric: str) -> bool:
    """Whether an arm is about as often right as always naming the commonest class, and its runs show no more."""
    declared = declaration(metric)
    if not declared.items:
        return False
    items = [run.items(declared.split) for run in arm.runs]
    there = [one for one in items if one is not None and len(one.label)]
    if len(there) < len(items) or len({len(one.label) for one in there}) > 1:
        return False
    import numpy as np

    correct, guessed = [], []
    for one in there:
        classes, counts = np.unique(one.label, return_counts=True)
        correct.append(one.correct)
        guessed.append((one.label == classes[counts.argmax()]).astype(float))
    found = stats.paired_difference(correct, guessed, to="both" if len(there) > 1 else "items")
    return bool(found.low <= 0 and found.value <= declared.cap)
