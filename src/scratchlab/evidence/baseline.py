"""What is compared with what: the arm that the others are held against, and the metric."""

from collections.abc import Sequence

from scratchlab.evidence import sweeps
from scratchlab.evidence.confounds import factor, unlike
from scratchlab.evidence.runs import Arm
from scratchlab.matching import nearest
from scratchlab.runs.metrics import METRICS, preferred

RULE = "the unaltered arm, else the one with fewest changes, else the first of the sweep"
"""Of several that are unaltered, one that is called baseline comes first."""


def by_rule(found: Sequence[Arm]) -> tuple[Arm, str]:
    """The baseline where none is asked for, and why it is, in words; a sweep keeps the one it has shown."""
    if sweep := _sweep_of(found):
        for arm in found:
            for run in arm.runs:
                if why := sweep.baselines.get(run.fingerprint):
                    return arm, why
    ordered = in_order(found)
    least = min(map(_changed, ordered))
    chosen = [arm for arm in ordered if _changed(arm) == least]
    called = [arm for arm in chosen if "baseline" in arm.name]
    why = "the unaltered arm" if not least else "the arm with fewest changes"
    if len(chosen) > 1:
        if len(called) == 1:
            return called[0], "called baseline" if not least else f"{why} that is called baseline"
        why = f"the first of {len(chosen)} {'unaltered arms' if not least else 'arms with as few changes'}"
    return (called or chosen)[0], why


def in_order(found: Sequence[Arm]) -> list[Arm]:
    """Arms in the order of the last sweep that ran them all; without one, in which they were started."""
    if sweep := _sweep_of(found):
        return sorted(found, key=lambda arm: min(sweep.place(run.fingerprint) for run in arm.runs))
    return sorted(found, key=lambda arm: min(run.started for run in arm.runs))


def _sweep_of(found: Sequence[Arm]) -> sweeps.Sweep | None:
    """The last sweep below the arms' folder that ran all of them."""
    every = sweeps.read(found[0].runs[0].folder.parents[1])
    return next((s for s in every if all(any(r.fingerprint in s.runs for r in arm.runs) for arm in found)), None)


def _changed(arm: Arm) -> int:
    """How many choices of an arm are otherwise than published; the keys of one choice, as those of LoRA, are one."""
    return len({factor(key) for key in arm.runs[0].changes})


def chosen(found: Sequence[Arm], wanted: str) -> tuple[Arm, str]:
    """The baseline, and why it is: it was asked for, or is so by the rule."""
    return (choose_baseline(found, wanted), f"baseline={wanted}") if wanted else by_rule(found)


def choose_baseline(found: Sequence[Arm], wanted: str) -> Arm:
    """The arm named by its label, name, fingerprint, or by `key=value` as typed or as set; by default `by_rule`.

    Raises:
        ValueError: no arm is, or several are.
    """
    if not wanted:
        return by_rule(found)[0]
    for matches in (
        [arm for arm in found if arm.label == wanted],
        [arm for arm in found if arm.name == wanted],
        [arm for arm in found if any(run.fingerprint.startswith(wanted) for run in arm.runs)],
        [arm for arm in found if wanted in {f"{key}={value}" for key, value in (arm.config | _typed(arm)).items()}],
    ):
        unaltered = [arm for arm in matches if not arm.runs[0].changes]
        if len(matches) == 1 or len(unaltered) == 1:
            return (unaltered if len(unaltered) == 1 else matches)[0]
        if matches:
            raise ValueError(f"baseline={wanted}: {len(matches)} arms are; possible: {_labels(matches)}")
    near = nearest(wanted, [arm.label for arm in found], 0.3)
    raise ValueError(f"baseline={wanted}: no such arm; possible: {_labels(found)}{near}")


def _typed(arm: Arm) -> dict[str, str]:
    return arm.runs[0].choices


def _labels(found: Sequence[Arm]) -> str:
    return "; ".join(arm.label for arm in found[:20]) + (" ..." if len(found) > 20 else "")


def choose_metric(found: Sequence[Arm], baseline: Arm, wanted: str) -> str:
    """The metric to compare; one that nobody declared only if it is asked for.

    Raises:
        ValueError: the baseline has no such number.
    """
    numbers = sorted({name for run in baseline.runs for name in run.metrics if baseline.values(name)})
    if wanted:
        if wanted not in numbers:
            raise ValueError(
                f"metric={wanted}: {baseline.label} has no such number; possible: {', '.join(numbers)}"
                + nearest(wanted, numbers, 0.3)
            )
        return wanted
    declared = [name for name in METRICS if name in numbers]
    if chosen := preferred_metric(found, baseline) or next(iter(declared), ""):
        return chosen
    possible = f"; possible, but not declared in runs/metrics.py: metric={', '.join(numbers)}" if numbers else ""
    raise ValueError(f"the records of {baseline.label} hold no number to compare{possible}")


def preferred_metric(found: Sequence[Arm], baseline: Arm) -> str:
    """The first preferred metric of the baseline that is of one kind in all arms, else its first; empty without any."""
    there = [name for name in preferred() if baseline.values(name)]
    alike = [name for name in there if not any(unlike(arm, baseline, name) for arm in found if arm is not baseline)]
    return next(iter((*alike, *there)), "")
