"""A cell that was printed more than once: which of its prints a number agrees with, and replicates as a sample."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scratchlab import stats
from scratchlab.evidence.runs import Arm
from scratchlab.evidence.verdicts.advice import LEAST_SEEDS
from scratchlab.evidence.verdicts.outcome import Decision, Sample, Verdict
from scratchlab.evidence.verdicts.single import TOLERANCE, environment_class, half_a_digit, numbers
from scratchlab.runs.claim import Claim, ClaimKind, Print
from scratchlab.runs.metrics import metric

JUDGED = (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)
LEAST_REPLICATES = 3
"""Prints of one recipe that make a sample."""


def with_prints(found: Decision, claim: Claim, arm: Arm) -> Decision:
    """A verdict, with what the other prints of the same cell say about the number; the verdict itself stays."""
    if not claim.history or found.verdict not in JUDGED or found.measured is None:
        return found
    notes = [_agreement(found, claim, arm)]
    if sample := against_replicates(claim, arm):
        notes.append(_told(sample, claim))
    return replace(found, sample=sample, notes=(*found.notes, *notes))


def _agreement(found: Decision, claim: Claim, arm: Arm) -> str:
    """Which prints the measured number agrees with, and which not, in words."""
    shown = metric(claim.metric).shown
    like = [one for one in claim.history if agrees(found, claim, arm, one.value)]
    others = [one for one in claim.history if one not in like]

    def listed(prints: Sequence[Print]) -> str:
        return "; ".join(f"{shown(one.value)} ({one.words})" for one in prints)

    if not like:
        return f"as none of its prints: {listed(others)}"
    return f"as printed: {listed(like)}" + (f"; printed otherwise: {listed(others)}" if others else "")


def agrees(found: Decision, claim: Claim, arm: Arm, printed: Any) -> bool:
    """Whether a measured number is as one print has it: by the tolerance of its kind, or the interval of a score."""
    ours, theirs = numbers(found.measured), numbers(printed)
    if ours is None or theirs is None or claim.kind is ClaimKind.exact:
        return bool(found.measured == printed)
    if len(ours) != len(theirs):
        return False
    if found.interval is not None and claim.kind is ClaimKind.score:
        return found.interval[0] <= theirs[0] <= found.interval[1]
    tolerance = 0.0
    if claim.kind is ClaimKind.close:
        reference = claim.tolerance or TOLERANCE["cpu float32"]
        tolerance = max(reference, TOLERANCE.get(environment_class(arm.runs[0]), 0.0))
    pairs = zip(ours, theirs, strict=True)
    return all(stats.close(m, e, rtol=tolerance, atol=_rounding(claim, e)).ok for m, e in pairs)


def _rounding(claim: Claim, printed: float) -> float:
    """Shares are printed in percent with two decimals."""
    return 0.00005 * (1 + 1e-9) if claim.n else half_a_digit(printed)


def against_replicates(claim: Claim, arm: Arm) -> Sample | None:
    """Our seeds against the prints of the same recipe, as two samples; None where either is too small."""
    theirs = [float(one.value) for one in claim.history if one.replicate]
    ours = arm.values(claim.metric)
    if len(theirs) < LEAST_REPLICATES or len(ours) < LEAST_SEEDS:
        return None
    step = stats.resolution(claim.n) if claim.n else None
    gap = stats.two_samples(ours, theirs, resolution=step)
    return Sample(len(theirs), sum(theirs) / len(theirs), gap.value, (gap.low, gap.high), gap.p)


def _told(sample: Sample, claim: Claim) -> str:
    m, (low, high) = metric(claim.metric), sample.interval
    said = "the two samples are unlike" if low > 0 or high < 0 else "no difference between the two samples is shown"
    return (
        f"against the {sample.size} published runs of the recipe (mean {m.shown(sample.mean)}): "
        f"{m.difference(sample.difference)} ({m.difference(low)} to {m.difference(high)}, p = {sample.p:.2g}): {said}"
    )
