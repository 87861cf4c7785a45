"""What is compared with what: the arm that the others are held against, and the metric."""

from collections.abc import Sequence

from scratchlab.evidence.confounds import unlike
from scratchlab.evidence.runs import Arm
from scratchlab.matching import nearest
from scratchlab.runs.metrics import METRICS, preferred


def choose_baseline(found: Sequence[Arm], wanted: str) -> Arm:
    """The arm named by its label, name, fingerprint or `key=value`; by default one called baseline, else the first.

    Raises:
        ValueError: no arm is, or several are.
    """
    if not wanted:
        named = [arm for arm in found if "baseline" in arm.name and not arm.runs[0].changes]
        return (named or [arm for arm in found if "baseline" in arm.name] or list(found))[0]
    for matches in (
        [arm for arm in found if arm.label == wanted],
        [arm for arm in found if arm.name == wanted],
        [arm for arm in found if any(run.fingerprint.startswith(wanted) for run in arm.runs)],
        [arm for arm in found if wanted in {f"{key}={value}" for key, value in arm.config.items()}],
    ):
        unaltered = [arm for arm in matches if not arm.runs[0].changes]
        if len(matches) == 1 or len(unaltered) == 1:
            return (unaltered if len(unaltered) == 1 else matches)[0]
        if matches:
            raise ValueError(f"baseline={wanted}: {len(matches)} arms are; possible: {_labels(matches)}")
    near = nearest(wanted, [arm.label for arm in found], 0.3)
    raise ValueError(f"baseline={wanted}: no such arm; possible: {_labels(found)}{near}")


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
