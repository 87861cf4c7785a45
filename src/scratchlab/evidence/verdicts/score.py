"""Published scores against runs of several seeds."""

from typing import Any

from scratchlab import stats
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.runs import Arm
from scratchlab.evidence.verdicts.advice import LEAST_SEEDS, POWER, cap_of, told
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.evidence.verdicts.single import TOLERANCE, environment_class, half_a_digit, nan_verdict, published_seed
from scratchlab.runs.claim import Claim
from scratchlab.runs.metrics import metric

GROSS = 3
"""Fewer runs than a score needs count against it only when each is farther off than so many caps."""
CHANCE = 0.05


def score(claim: Claim, arm: Arm, experiment: Experiment | None) -> Decision:
    """Could one more run have given the published number? A prediction interval over our seeds, its width capped."""
    if broken := nan_verdict(claim, arm.runs):
        return broken
    values, cap, m = arm.values(claim.metric), cap_of(claim), metric(claim.metric)
    step = stats.resolution(claim.n) if claim.n else None
    rounding = _rounding(claim)
    found = stats.prediction_interval(values, resolution=step)
    off = found.value - claim.value
    beyond = abs(off) - rounding
    again, note = repetition(claim, arm, experiment)
    common: dict[str, Any] = {
        "measured": found.value,
        "seeds": tuple(arm.seeds),
        "device": arm.runs[0].device,
        "repetition": again,
        "notes": (note,) if note else (),
    }
    if found.n < LEAST_SEEDS:
        return _too_few(claim, values, rounding, cap, common)
    common |= {
        "interval": (found.low, found.high),
        "test": f"95% prediction interval for one more run, over {found.n} seeds; at most {m.width(cap)} to each side",
        "chance": CHANCE,
    }
    sd = max(found.sd or 0.0, (step or 0.0) / 2)
    reason = f"mean {m.shown(found.value)}, sd {m.width(found.sd or 0.0)}, {m.difference(off)} from the published "
    reason += m.shown(claim.value)
    if beyond > found.half_width:
        p = stats.p_of_new_run(found, beyond, resolution=step)
        return Decision(Verdict.NOT_REPRODUCED, f"{reason}: outside the interval", p=p, **common)
    if found.half_width <= cap:
        shown = f"{reason}: within ±{m.width(found.half_width)} of one run"
        return Decision(Verdict.REPRODUCED, shown, within=found.half_width, **common)
    low = stats.seeds_for_prediction(sd, cap)
    high = stats.seeds_for_prediction(stats.largest_sd(sd, found.n), cap, power=POWER)
    reason += f": inside, but the interval is too wide to tell (half-width {m.width(found.half_width)}); "
    reason += told(low, high)
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=low, seeds_assured=high, **common)


def _rounding(claim: Claim) -> float:
    """How far the published number itself is unknown: accuracies are printed in percent with two decimals."""
    return 0.00005 * (1 + 1e-9) if claim.n else half_a_digit(claim.value)


def repetition(claim: Claim, arm: Arm, experiment: Experiment | None) -> tuple[bool | None, str]:
    """Whether the published seed on the reference environment gives the printed number, and that in words.

    Apart from any verdict: it shows that the same run is done again, not that other seeds give the same.
    """
    reference, seed, m = next(iter(TOLERANCE)), published_seed(experiment), metric(claim.metric)
    run = next((run for run in arm.runs if run.seed == seed and environment_class(run) == reference), None)
    if run is None:
        return None, ""
    value = float(run.metrics[claim.metric])
    if abs(value - claim.value) <= _rounding(claim):
        return True, f"repetition: seed {seed} on {reference} gives the printed number, which says nothing of others"
    return False, f"no repetition: seed {seed} on {reference} gives {m.shown(value)}, not {m.shown(claim.value)}"


def _too_few(claim: Claim, values: list[float], rounding: float, cap: float, common: dict[str, Any]) -> Decision:
    """One or two runs: they tell nothing of the spread, so only what is grossly off counts."""
    m, gross, n = metric(claim.metric), GROSS * cap, len(values)
    runs = "one run" if n == 1 else f"{n} runs"
    common["test"] = f"{runs}, a score needs {LEAST_SEEDS} seeds: only a difference beyond {m.width(gross)} counts"
    reason = f"{runs}, {m.difference(common['measured'] - claim.value)} from the published {m.shown(claim.value)}"
    away = [value - claim.value for value in values]
    if all(off - rounding > gross for off in away) or all(off + rounding < -gross for off in away):
        return Decision(Verdict.NOT_REPRODUCED, reason, **common)
    needed = max(LEAST_SEEDS, stats.seeds_for_prediction(cap / GROSS, cap) or 0)
    if n == 1 and abs(away[0]) <= rounding:
        reason += " (the printed number itself)"
    reason += (
        f"; too few to show a spread: a score needs {LEAST_SEEDS} seeds, and {needed} if its sd is "
        f"{m.width(cap / GROSS)}"
    )
    return Decision(Verdict.INCONCLUSIVE, reason, seeds_needed=needed, **common)
