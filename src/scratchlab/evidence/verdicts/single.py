"""Claims about one experiment: exact, close, count and score."""

import math
from decimal import Decimal
from typing import Any

from scratchlab import stats
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.evidence.verdicts.comparable import diverged
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.runs.claim import Claim
from scratchlab.runs.metrics import metric

PUBLISHED_SEED = 123
"""The seed of the book's scripts, where an experiment file names no other."""

TOLERANCE = {"cpu float32": 1e-5, "cuda float32": 1e-3, "mps float32": 1e-3, "bfloat16": 2e-2}
"""Largest relative difference of a number that no seed moves, by class of environment; the first is the reference."""

CAP = 0.05
"""Half-width, relative, beyond which a prediction interval tells nothing, where the metric declares none."""
GROSS = 3
"""One run counts against a score only when it is farther off than so many caps."""


def as_published(arm: Arm, experiment: Experiment | None) -> list[RunRecord]:
    """The run with the published seed; every run where that one is missing."""
    seed = int(experiment.content.get("seed", PUBLISHED_SEED)) if experiment else PUBLISHED_SEED
    return [run for run in arm.runs if run.seed == seed] or list(arm.runs)


def nan_verdict(claim: Claim, arm: Arm) -> Decision | None:
    """A run that diverged did not reproduce anything; None where none did."""
    if not (broken := diverged(claim, arm.runs)):
        return None
    seeds = ", ".join(str(run.seed) for run in broken)
    return Decision(
        Verdict.NOT_REPRODUCED,
        f"{len(broken)} of {len(arm.runs)} runs diverged (NaN or infinite; seed {seeds})",
        test="every run must end with finite numbers",
        measured=broken[0].metrics.get(claim.metric) if len(broken) == len(arm.runs) else None,
        seeds=tuple(arm.seeds),
        device=arm.runs[0].device,
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
    if broken := nan_verdict(claim, arm):
        return broken
    runs = as_published(arm, experiment)
    wrong = [run for run in runs if not _equal(run.metrics[claim.metric], claim.value)]
    test = "equal to the last digit"
    measured = (wrong or runs)[0].metrics[claim.metric]
    common = {"test": test, "measured": measured, "seeds": tuple(r.seed for r in runs), "device": runs[0].device}
    if not wrong:
        return Decision(Verdict.REPRODUCED, "equal", **common)
    if len({str(run.metrics[claim.metric]) for run in runs}) > 1:
        reason = "it depends on the seed, and no run has the published one; run it with seed=" + str(PUBLISHED_SEED)
        return Decision(Verdict.NOT_COMPARABLE, reason, **common)
    return Decision(Verdict.NOT_REPRODUCED, _difference(measured, claim.value), **common)


def _equal(measured: Any, expected: Any) -> bool:
    if isinstance(measured, list | tuple) and isinstance(expected, list | tuple):
        return len(measured) == len(expected) and all(_equal(m, e) for m, e in zip(measured, expected, strict=True))
    return bool(measured == expected)


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
    if broken := nan_verdict(claim, arm):
        return broken
    runs = as_published(arm, experiment)
    reference = claim.tolerance or TOLERANCE["cpu float32"]
    where = environment_class(runs[0])
    tolerance = max(reference, TOLERANCE.get(where, 0.0))
    measured = runs[0].metrics[claim.metric]
    common = {"measured": measured, "seeds": (runs[0].seed,), "device": runs[0].device}
    common["test"] = f"relative difference at most {tolerance:g} ({where or 'unknown device'}), or the print's rounding"
    ours, theirs = _numbers(measured), _numbers(claim.value)
    if ours is None or theirs is None or len(ours) != len(theirs):
        reason = f"{str(measured)[:80]} cannot be held against {str(claim.value)[:80]}: not as many numbers"
        return Decision(Verdict.NOT_REPRODUCED, reason, **common)
    checks = [
        stats.close(m, float(e), rtol=tolerance, atol=_half_a_digit(e)) for m, e in zip(ours, theirs, strict=True)
    ]
    worst = max(checks, key=lambda check: (not check.ok, abs(check.difference)))
    reason = f"largest difference {worst.difference:+.3g}, relative {worst.relative:.2g}"
    if worst.ok:
        return Decision(Verdict.REPRODUCED, reason, **common)
    if where not in TOLERANCE:
        return Decision(Verdict.INCONCLUSIVE, f"{reason}; no tolerance is known for {where or 'this device'}", **common)
    return Decision(Verdict.NOT_REPRODUCED, reason, **common)


def _numbers(value: Any) -> list[float] | None:
    """The numbers of a (nested) list, flat; None if there is anything else in it."""
    if isinstance(value, list | tuple):
        parts = [_numbers(item) for item in value]
        return None if any(part is None for part in parts) else [n for part in parts for n in part or ()]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else None


def _half_a_digit(printed: float) -> float:
    """Half a unit of the last printed digit; nothing for whole numbers."""
    if isinstance(printed, int):
        return 0.0
    exponent = Decimal(repr(printed)).as_tuple().exponent
    return 0.5 * 10.0 ** int(exponent) * (1 + 1e-9)


def count(claim: Claim, arm: Arm, experiment: Experiment | None) -> Decision:
    """A Monte-Carlo count: equal with the published seed, or else possible under the exact probability."""
    if broken := nan_verdict(claim, arm):
        return broken
    published = as_published(arm, experiment)
    counts = [run.metrics[claim.metric] for run in arm.runs]
    common: dict[str, Any] = {"seeds": tuple(arm.seeds), "device": arm.runs[0].device}
    if len(published) == 1 and published[0].metrics[claim.metric] == claim.value:
        return Decision(
            Verdict.REPRODUCED,
            f"seed {published[0].seed} gives the very count",
            test="equal with the published seed",
            measured=claim.value,
            **common,
        )
    found = stats.count_test(sum(counts), claim.n * len(counts), claim.probability)
    test = f"exact binomial test against the probability {claim.probability:g}, two-sided, at 5%"
    reason = f"{sum(counts)} of {claim.n * len(counts)} draws, {found.expected:.1f} expected, p = {found.p:.2g}"
    verdict = Verdict.REPRODUCED if found.p >= 0.05 else Verdict.NOT_REPRODUCED
    interval = (found.low * claim.n, found.high * claim.n)
    return Decision(verdict, reason, test=test, measured=sum(counts) / len(counts), interval=interval, **common)


def cap_of(claim: Claim) -> float:
    return claim.max_halfwidth or metric(claim.metric).cap or CAP * abs(claim.value)


def score(claim: Claim, arm: Arm) -> Decision:
    """Could one more run have given the published number? A prediction interval over our seeds, its width capped."""
    if broken := nan_verdict(claim, arm):
        return broken
    values, cap, m = arm.values(claim.metric), cap_of(claim), metric(claim.metric)
    step = stats.resolution(claim.n) if claim.n else None
    # printed in percent with two decimals: that far the published number itself is unknown
    rounding = 0.00005 if claim.n else _half_a_digit(claim.value)
    found = stats.prediction_interval(values, resolution=step)
    off = found.value - claim.value
    beyond = abs(off) - rounding
    common: dict[str, Any] = {"measured": found.value, "seeds": tuple(arm.seeds), "device": arm.runs[0].device}
    if found.n == 1:
        return _one_run(claim, off, beyond, cap, common)
    common |= {
        "interval": (found.low, found.high),
        "test": f"95% prediction interval for one more run, over {found.n} seeds; at most {m.width(cap)} to each side",
    }
    sd = max(found.sd or 0.0, (step or 0.0) / 2)
    reason = f"mean {m.shown(found.value)}, sd {m.width(found.sd or 0.0)}, {m.difference(off)} from the published "
    reason += m.shown(claim.value)
    if beyond > found.half_width:
        return Decision(Verdict.NOT_REPRODUCED, f"{reason}: outside the interval", **common)
    if found.half_width <= cap:
        return Decision(Verdict.REPRODUCED, f"{reason}: inside the interval", **common)
    needed = stats.seeds_for_prediction(sd, cap)
    told = f"{needed} seeds would do" if needed else f"no number of seeds would do at this spread, {m.width(sd)}"
    reason += f": inside, but the interval is too wide to tell (half-width {m.width(found.half_width)}); {told}"
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=needed, **common)


def _one_run(claim: Claim, off: float, beyond: float, cap: float, common: dict[str, Any]) -> Decision:
    m, gross = metric(claim.metric), GROSS * cap
    common["test"] = f"one run: only a difference beyond {m.width(gross)} counts"
    reason = f"one run, {m.difference(off)} from the published {m.shown(claim.value)}"
    if beyond > gross:
        return Decision(Verdict.NOT_REPRODUCED, reason, **common)
    needed = stats.seeds_for_prediction(cap / GROSS, cap)
    if math.isclose(beyond, 0, abs_tol=1e-12) or beyond < 0:
        reason += " (the printed number itself)"
    reason += f"; one seed shows no spread, {needed} seeds would do if its sd is {m.width(cap / GROSS)}"
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=needed, **common)
