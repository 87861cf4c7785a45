"""Which change moved the number, by how much, and is that more than noise: arms against one baseline.

Pure functions over records; the messages' texts come in from outside where they are at hand.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scratchlab import stats
from scratchlab.evidence.confounds import factors, several_factors, unexplained, unlike
from scratchlab.evidence.remarks import absent, mixtures
from scratchlab.evidence.resolution import resolution
from scratchlab.evidence.runs import Arm, Items, differing
from scratchlab.runs.metrics import NOT_DECLARED
from scratchlab.runs.metrics import metric as declaration

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
LEAST_SEEDS = 3
"""Below this, an interval that holds zero is no sign that there is no difference."""


def rows(
    found: Sequence[Arm],
    baseline: Arm,
    metric: str,
    *,
    declared: Mapping[str, Sequence[str]] | None = None,
    copies: Mapping[str, "np.ndarray"] | None = None,
) -> list[dict[str, Any]]:
    """The lines of table.json, the baseline first.

    `declared`: by experiment name, the settings that its file declares. `copies`: by arm label, which test items stand
    in training too.
    """
    ordered = [baseline, *(arm for arm in found if arm is not baseline)]
    first_with = _same_outcome(ordered)
    table = [_row(arm, baseline, metric, declared or {}, (copies or {}).get(arm.label)) for arm in ordered]
    for line, twin in zip(table, first_with, strict=True):
        if twin is not None:
            line["no_effect"] = True
            other, common = twin
            where = "" if len(common) == len(line["seeds"]) else f" on the common seeds {', '.join(map(str, common))}"
            line["notes"].append(f"no effect: the same losses to the last digit as {ordered[other].label}{where}")
    tested = [line["delta"] for line in table if line["delta"] and line["delta"]["p"] is not None]
    for delta, corrected in zip(tested, stats.holm([d["p"] for d in tested]) if tested else (), strict=True):
        delta["p_holm"] = corrected
    keys = differing(ordered)
    for line, arm in zip(table, ordered, strict=True):
        line["finding"] = _finding(line)
        line["settings"] = {key: arm.config.get(key) for key in keys}
    return table


def _row(
    arm: Arm, baseline: Arm, metric: str, declared: Mapping[str, Sequence[str]], copied: "np.ndarray | None"
) -> dict[str, Any]:
    itself = arm is baseline
    line: dict[str, Any] = {
        "name": arm.label,
        "changed": {}
        if itself
        else {key: arm.config.get(key) for keys in factors(arm, baseline).values() for key in keys},
        "seeds": arm.seeds,
        "metrics": _metrics(arm),
        "delta": None,
        "notes": [],
        "confounds": [],
        "not_comparable": "",
        "no_effect": False,
        "resolution": "",
        "mcnemar": [],
        "command": _command(arm),
    }
    for key, reason in {k: v for run in arm.runs for k, v in run.no_effect.items()}.items():
        line["notes"].append(f"{key} has no effect: {reason}")
    for run in arm.runs:
        if run.missing:
            line["notes"].append(f"seed {run.seed}: the record lacks {', '.join(run.missing)}")
    line["notes"] += [*absent(arm, metric), *mixtures(arm, metric)]
    if copied is not None:
        _without_copies(line, arm, copied)
    if not declaration(metric).declared:
        line["notes"].append(f"{metric} {NOT_DECLARED}")
    if itself:
        line["notes"].insert(0, "baseline")
        return line
    known = [*declared.get(arm.name, ()), *declared.get(baseline.name, ())]
    both_known = arm.name in declared and baseline.name in declared
    several = several_factors(arm, baseline, metric, known if both_known and arm.name != baseline.name else ())
    line["confounds"] = [*unexplained(arm, baseline, metric), *([several] if several else [])]
    if reason := unlike(arm, baseline, metric):
        line["not_comparable"] = reason
        line["notes"].append(f"not comparable: {reason}")
    else:
        _compare(line, arm, baseline, metric)
    return line


def _metrics(arm: Arm) -> dict[str, dict[str, float | int | None]]:
    """Mean, sample standard deviation and number of seeds of every number; what is not finite is counted apart."""
    found = {}
    for name in dict.fromkeys(name for run in arm.runs for name in run.metrics):
        values = arm.values(name)
        finite = [value for value in values if math.isfinite(value)]
        if not values:
            continue
        found[name] = {
            "mean": statistics.fmean(finite) if finite else None,
            "spread": statistics.stdev(finite) if len(finite) > 1 else None,
            "n": len(finite),
            **({"diverged": len(values) - len(finite)} if len(finite) < len(values) else {}),
        }
    return found


def _command(arm: Arm) -> str:
    run = arm.runs[0]
    words = [f"{key}={value}" for key, value in run.changes.items()]
    many = len(arm.seeds) > 1
    first = f"scratchlab {'-m ' if many else ''}experiment={arm.name}"
    return " ".join([first, *words, f"seed={','.join(map(str, arm.seeds))}"])


def _compare(line: dict[str, Any], arm: Arm, baseline: Arm, metric: str) -> None:
    """Fill in the difference, its tests and what they could have seen."""

    def usable(one: Arm, seed: int) -> bool:
        value = one.run(seed).metrics.get(metric)
        return isinstance(value, int | float) and math.isfinite(value)

    common = sorted(set(arm.seeds) & set(baseline.seeds))
    seeds = [seed for seed in common if usable(arm, seed) and usable(baseline, seed)]
    if not seeds:
        what = "no seed in common with the baseline" if not common else f"no finite {metric} on a common seed"
        line["notes"].append(what)
        return
    if left := sorted((set(arm.seeds) | set(baseline.seeds)) - set(seeds)):
        line["notes"].append(f"not paired: seeds {', '.join(map(str, left))}")
    pairs = item_pairs(arm, baseline, seeds, metric)
    if isinstance(pairs, str):
        line["notes"].append(pairs)
        pairs = None
    ours = [float(arm.run(seed).metrics[metric]) for seed in seeds]
    theirs = [float(baseline.run(seed).metrics[metric]) for seed in seeds]
    if pairs is not None:
        a, b = [[pair[side].correct for pair in pairs] for side in (0, 1)]
        line["mcnemar"] = [_mcnemar(seed, x, y) for seed, x, y in zip(seeds, a, b, strict=True)]
        found = stats.paired_difference(a, b, to="both")
        over_seeds: stats.Interval = stats.paired_difference(a, b, to="seeds")
        p, test, items = found.p, found.note, found.items
        line["delta"] = _delta(metric, seeds, found, p, test) | {"interval_seeds": _bounds(over_seeds)}
        line["delta"]["interval_items"] = _bounds(stats.paired_difference(a, b, to="items"))
    else:
        items = declaration(metric).items
        summary, p = by_seed(ours, theirs, stats.resolution(items) if items else None)
        test = f"t over {len(seeds)} per-seed differences; no predictions to pair item by item"
        line["delta"] = _delta(metric, seeds, summary, p, test) | {"interval_seeds": _bounds(summary)}
    differences = [x - y for x, y in zip(ours, theirs, strict=True)]
    line["resolution"] = resolution(metric, differences, items if pairs else 0, line["mcnemar"])


def item_pairs(arm: Arm, baseline: Arm, seeds: Sequence[int], metric: str) -> list[tuple[Items, Items]] | str | None:
    """Predictions of both arms on the same items, a pair a seed; None where there are none, text where they differ."""
    declared = declaration(metric)
    if not declared.items:
        return None
    found = [(arm.run(seed).items(declared.split), baseline.run(seed).items(declared.split)) for seed in seeds]
    pairs = [(x, y) for x, y in found if x is not None and y is not None]
    if len(pairs) < len(found):
        return None
    same = all(
        x.index.tolist() == pairs[0][1].index.tolist() == y.index.tolist() and x.label.tolist() == y.label.tolist()
        for x, y in pairs
    )
    return pairs if same else "the arms were tested on different items, so they are paired by seed only"


def _delta(metric: str, seeds: Sequence[int], found: stats.Interval, p: float | None, test: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "value": found.value,
        "interval": _bounds(found),
        "p": p,
        "p_holm": None,
        "interval_items": None,
        "seeds": list(seeds),
        "test": test,
    }


def _bounds(found: stats.Interval) -> list[float] | None:
    return [found.low, found.high] if math.isfinite(found.half_width) else None


def by_seed(ours: list[float], theirs: list[float], step: float | None) -> tuple[stats.Summary, float | None]:
    """Mean paired difference over seeds with its t interval and p; the p at which the interval touches zero."""
    from scipy.special import stdtr

    scale = max(map(abs, (*ours, *theirs)))
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    if max(differences) - min(differences) <= 1e-12 * scale:
        differences = [differences[0]] * len(differences)
    found = stats.summarize(differences, resolution=step)
    if found.n == 1:
        return found, None
    error = max(found.sd or 0.0, (step or 0.0) / 2) / math.sqrt(found.n)
    if not error:
        return found, 1.0 if found.value == 0 else None
    return found, 2 * float(stdtr(found.n - 1, -abs(found.value) / error))


def _mcnemar(seed: int, ours: "np.ndarray", theirs: "np.ndarray") -> dict[str, Any]:
    found = stats.mcnemar(ours, theirs)
    return {"seed": seed, "gained": found.gained, "lost": found.lost, "items": found.items, "p": found.p}


def _without_copies(line: dict[str, Any], arm: Arm, copied: "np.ndarray") -> None:
    """Add the accuracy on the test items whose text does not stand in training."""
    found = [run.items("test") for run in arm.runs]
    kept = [
        float(items.correct[~copied].mean()) for items in found if items is not None and len(items.index) == len(copied)
    ]
    if kept:
        line["metrics"]["test_accuracy_without_copies"] = {
            "mean": statistics.fmean(kept),
            "spread": statistics.stdev(kept) if len(kept) > 1 else None,
            "n": len(kept),
        }
        line["copies"] = {"test_items": len(copied), "in_training": int(copied.sum())}


def _same_outcome(found: Sequence[Arm]) -> list[tuple[int, list[int]] | None]:
    """For each arm, the first earlier arm with the same losses to the last digit on every common seed, and those."""
    prints = [{run.seed: run.history_digest for run in arm.runs} for arm in found]
    twins: list[tuple[int, list[int]] | None] = []
    for index, ours in enumerate(prints):
        twin = None
        for other, theirs in enumerate(prints[:index]):
            common = sorted(set(ours) & set(theirs))
            if common and all(ours[seed] and ours[seed] == theirs[seed] for seed in common):
                twin = other, common
                break
        twins.append(twin)
    return twins


def _finding(line: Mapping[str, Any]) -> str:
    """The row in a few words."""
    delta = line["delta"]
    if "baseline" in line["notes"][:1]:
        return "baseline"
    if line["no_effect"]:
        return "no effect"
    if delta is None:
        return "not comparable" if line["not_comparable"] else "cannot be paired"
    prefix = "CONFOUNDED; " if line["confounds"] else ""
    if delta["p"] is None:
        return prefix + (_cannot_tell(len(delta["seeds"])) if len(delta["seeds"]) < LEAST_SEEDS else "cannot tell")
    p = delta["p_holm"] if delta["p_holm"] is not None else delta["p"]
    if p < LEVEL:
        return prefix + ("higher" if delta["value"] > 0 else "lower")
    if delta["p"] < LEVEL:
        return prefix + ("higher" if delta["value"] > 0 else "lower") + ", but not after Holm's correction"
    widest = declaration(delta["metric"]).cap or math.inf
    if len(delta["seeds"]) < LEAST_SEEDS or abs(delta["value"]) > widest:
        return prefix + _cannot_tell(len(delta["seeds"]))
    return prefix + "no difference shown"


def _cannot_tell(seeds: int) -> str:
    """Too few seeds to know a spread, or too wide a one for the difference that was seen."""
    few = {1: "one seed", 2: "two seeds"}.get(seeds, f"{seeds} seeds with this spread")
    return f"{few}: cannot tell"
