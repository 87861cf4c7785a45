"""Claims about one experiment: exact, close and count."""

import json
import statistics
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from scratchlab import stats
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.evidence.verdicts.comparable import diverged
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.runs.checks import is_number
from scratchlab.runs.claim import Claim
from scratchlab.runs.metrics import Unit, metric

PUBLISHED_SEED = 123
"""The seed of the book's scripts, where an experiment file names no other."""

TOLERANCE = {"cpu float32": 1e-5, "cuda float32": 1e-3, "mps float32": 1e-3, "bfloat16": 2e-2}
"""Largest relative difference of a number that no seed moves, by class of environment; the first is the reference."""

CHANCE = 0.05
"""Of a count that misses although the probability behind it is the published one."""


def published_seed(experiment: Experiment | None) -> int:
    return int(experiment.content.get("seed", PUBLISHED_SEED)) if experiment else PUBLISHED_SEED


def as_published(claim: Claim, arm: Arm, experiment: Experiment | None) -> list[RunRecord] | Decision:
    """The run with the published seed; where that one is missing, every run of a number that no seed moves.

    That is one whose metric is declared so, or one with decimals that two other seeds or more give to the last bit;
    and never one that differs. Anything else has not run yet.
    """
    seed = published_seed(experiment)
    if there := [run for run in arm.runs if run.seed == seed]:
        return there
    values = [run.metrics[claim.metric] for run in arm.runs]
    equal = len({json.dumps(value, sort_keys=True, default=str) for value in values}) == 1
    if equal and (metric(claim.metric).seedless or (len(values) > 1 and _fine(values[0], claim))):
        return list(arm.runs)
    return Decision(
        Verdict.NOT_RUN,
        f"{claim.metric} may depend on the seed, and the published one, {seed}, has not run (there is "
        f"{', '.join(map(str, arm.seeds))}); run it with: scratchlab experiment={arm.name} seed={seed}",
        seeds=tuple(arm.seeds),
        device=arm.runs[0].device,
    )


def _fine(value: Any, claim: Claim) -> bool:
    """Whether two seeds do not give it by chance: it has decimals, and is no share of a few items."""
    if metric(claim.metric).unit in (Unit.fraction, Unit.points, Unit.flag):
        return False
    return any(number != round(number) for number in numbers(value) or ())


def nan_verdict(claim: Claim, runs: Sequence[RunRecord]) -> Decision | None:
    """A run that diverged did not reproduce anything; None where none did."""
    if not (broken := diverged(claim, runs)):
        return None
    seeds = ", ".join(str(run.seed) for run in broken)
    return Decision(
        Verdict.NOT_REPRODUCED,
        f"{len(broken)} of {len(runs)} runs diverged (NaN or infinite; seed {seeds})",
        test="every run must end with finite numbers",
        measured=broken[0].metrics.get(claim.metric) if len(broken) == len(runs) else None,
        seeds=tuple(run.seed for run in runs),
        device=runs[0].device,
    )


def environment_class(run: RunRecord) -> str:
    """`cpu float32` and the like; empty where the record names no device."""
    precision = str(run.config.get("compute.precision", "float32"))
    if precision != "float32":
        return precision
    device = run.device.split()[0].split(":")[0].lower() if run.device else ""
    return f"{device} float32" if device else ""


def exact(claim: Claim, arm: Arm, experiment: Experiment | None) -> Decision:
    """Equality, of the run with the published seed."""
    runs = as_published(claim, arm, experiment)
    if isinstance(runs, Decision):
        return runs
    if broken := nan_verdict(claim, runs):
        return broken
    wrong = [run for run in runs if not _equal(run.metrics[claim.metric], claim.value)]
    test = "equal to the last digit"
    measured = (wrong or runs)[0].metrics[claim.metric]
    common = {"test": test, "measured": measured, "seeds": tuple(r.seed for r in runs), "device": runs[0].device}
    if not wrong:
        return Decision(Verdict.REPRODUCED, "equal", **common)
    return Decision(Verdict.NOT_REPRODUCED, _difference(measured, claim.value), **common)


def _equal(measured: Any, expected: Any) -> bool:
    if isinstance(measured, list | tuple) and isinstance(expected, list | tuple):
        return len(measured) == len(expected) and all(_equal(m, e) for m, e in zip(measured, expected, strict=True))
    return bool(measured == expected) and isinstance(measured, bool) == isinstance(expected, bool)


def _difference(measured: Any, expected: Any) -> str:
    """Where two values part, in words."""
    if isinstance(measured, list | tuple) and isinstance(expected, list | tuple):
        if len(measured) != len(expected):
            return f"{len(measured)} values, published are {len(expected)}"
        pairs = enumerate(zip(measured, expected, strict=True))
        place, (ours, theirs) = next((i, pair) for i, pair in pairs if not _equal(*pair))
        return f"differs first at place {place}: {str(ours)[:80]}, published {str(theirs)[:80]}"
    return f"{str(measured)[:120]}, published {str(expected)[:120]}"


def close(claim: Claim, arm: Arm, experiment: Experiment | None) -> Decision:
    """Within a relative tolerance that depends on the class of environment, or the rounding of the print."""
    runs = as_published(claim, arm, experiment)
    if isinstance(runs, Decision):
        return runs
    if broken := nan_verdict(claim, runs):
        return broken
    reference = claim.tolerance or TOLERANCE["cpu float32"]
    where = environment_class(runs[0])
    tolerance = max(reference, TOLERANCE.get(where, 0.0))
    measured = runs[0].metrics[claim.metric]
    common = {"measured": measured, "seeds": (runs[0].seed,), "device": runs[0].device}
    common["test"] = f"relative difference at most {tolerance:g} ({where or 'unknown device'}), or the print's rounding"
    ours, theirs = numbers(measured), numbers(claim.value)
    if ours is None or theirs is None or len(ours) != len(theirs):
        reason = f"{str(measured)[:80]} cannot be held against {str(claim.value)[:80]}: not as many numbers"
        return Decision(Verdict.NOT_REPRODUCED, reason, **common)
    checks = [stats.close(m, float(e), rtol=tolerance, atol=half_a_digit(e)) for m, e in zip(ours, theirs, strict=True)]
    worst = max(checks, key=lambda check: (not check.ok, abs(check.difference)))
    reason = f"largest difference {worst.difference:+.3g}, relative {worst.relative:.2g}"
    if worst.ok:
        return Decision(Verdict.REPRODUCED, reason, **common)
    if where not in TOLERANCE:
        return Decision(Verdict.INCONCLUSIVE, f"{reason}; no tolerance is known for {where or 'this device'}", **common)
    return Decision(Verdict.NOT_REPRODUCED, reason, **common)


def numbers(value: Any) -> list[float] | None:
    """The numbers of a (nested) list, flat; None if there is anything else in it."""
    if isinstance(value, list | tuple):
        parts = [numbers(item) for item in value]
        return None if any(part is None for part in parts) else [n for part in parts for n in part or ()]
    return [value] if is_number(value) else None


def half_a_digit(printed: float) -> float:
    """Half a unit of the last printed digit; nothing for whole numbers."""
    if isinstance(printed, int):
        return 0.0
    exponent = Decimal(repr(printed)).as_tuple().exponent
    return 0.5 * 10.0 ** int(exponent) * (1 + 1e-9)


def count(claim: Claim, arm: Arm, experiment: Experiment | None) -> Decision:
    """A Monte-Carlo count: every seed's draws must be possible under the exact probability.

    A published seed that gives the very count repeats the draws that were published; the others are then tested alone.
    """
    if broken := nan_verdict(claim, arm.runs):
        return broken
    common: dict[str, Any] = {"seeds": tuple(arm.seeds), "device": arm.runs[0].device}
    seed, runs = published_seed(experiment), list(arm.runs)
    again = next((run for run in runs if run.seed == seed and run.metrics[claim.metric] == claim.value), None)
    told = ""
    if again is not None:
        runs.remove(again)
        told = f"seed {seed} gives the very count"
        common |= {"repetition": True, "measured": claim.value}
        if not runs:
            return Decision(Verdict.REPRODUCED, told, test="equal with the published seed", **common)
        told += "; of the others, "
    counts = [int(run.metrics[claim.metric]) for run in runs]
    found = stats.count_test(sum(counts), claim.n * len(counts), claim.probability)
    worst = min(stats.count_test(one, claim.n, claim.probability).p for one in counts)
    # all draws together, and the seed that is farthest off: two looks, so that a high and a low seed do not cancel
    p = found.p if len(counts) == 1 else min(1.0, 2 * min(found.p, worst * len(counts)))
    common |= {
        "test": f"exact binomial tests against the probability {claim.probability:g}, two-sided, at 5%: all draws "
        "together, and each seed's (Bonferroni)",
        "measured": statistics.fmean(counts) if again is None else claim.value,
        "interval": (found.low * claim.n, found.high * claim.n),
        "chance": CHANCE,
    }
    reason = f"{told}{sum(counts)} of {claim.n * len(counts)} draws, {found.expected:.1f} expected"
    reason += f", {min(counts)} to {max(counts)} of {claim.n} by seed" if len(counts) > 1 else ""
    reason += f", p = {p:.2g}"
    if p >= CHANCE:
        return Decision(Verdict.REPRODUCED, reason, **common)
    common["measured"] = statistics.fmean(counts)
    return Decision(Verdict.NOT_REPRODUCED, reason, p=p, **common)
