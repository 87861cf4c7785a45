"""Which runs may be held against a claim at all: present, unaltered, of the same data, weights and judge."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.data import sources
from scratchlab.evidence.confounds import judge_card
from scratchlab.evidence.runs import Arm, RunRecord, arms, differing
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.runs.claim import RELATIONS, Claim, ClaimKind
from scratchlab.runs.metrics import NOT_DECLARED, metric

JUDGE = "judge."
"""Who scores the answers is how a run is measured, not what was run: these keys alter no experiment."""


def usable(name: str, claim: Claim, runs: Sequence[RunRecord], experiment: Experiment | None) -> Arm | Decision:
    """The runs of `name` that can speak about `claim`, as one arm; or the verdict, if none can."""
    done = [run for run in runs if run.done]
    if not done:
        return _not_run(name, runs, experiment)
    unaltered = [run for run in done if not _altered(run, experiment)]
    if not unaltered:
        what = "; ".join(sorted({_altered(run, experiment) for run in done}))
        return Decision(
            Verdict.NOT_COMPARABLE, f"{name} was run altered: {what}", seeds=_seeds(done), device=done[0].device
        )
    having = [_judge_aside(run, claim) for run in unaltered if run.metrics.get(claim.metric) is not None]
    if not having:
        there = ", ".join(sorted(unaltered[0].metrics)) or "none"
        return Decision(
            Verdict.NOT_RUN,
            f"the records of {name} have no metric {claim.metric}; they have: {there}",
            seeds=_seeds(unaltered),
            device=unaltered[0].device,
        )
    if not metric(claim.metric).declared:
        return Decision(
            Verdict.NOT_COMPARABLE,
            f"{claim.metric} {NOT_DECLARED}",
            measured=having[0].metrics[claim.metric],
            seeds=_seeds(having),
            device=having[0].device,
        )
    if claim.kind not in (*RELATIONS, ClaimKind.ratio) and (problem := other_device(claim, having)):
        return Decision(Verdict.NOT_COMPARABLE, problem, seeds=_seeds(having), device=having[0].device)
    fitting = [run for run in having if _asked_as(claim, run)]
    problem = "" if fitting else _other_judge(claim, having)
    if problem := problem or _mixed(name, claim, fitting) or _other_data(fitting, experiment):
        return Decision(Verdict.NOT_COMPARABLE, problem, seeds=_seeds(having), device=having[0].device)
    return arms(fitting)[0]


def _judge_aside(run: RunRecord, claim: Claim) -> RunRecord:
    """The run without its judge's settings, where the metric is one that no judge has a part in."""
    if metric(claim.metric).judged:
        return run
    config, changes = (
        {key: value for key, value in settings.items() if not key.startswith(JUDGE)}
        for settings in (run.config, run.changes)
    )
    return replace(run, config=config, changes=changes)


def _seeds(runs: Sequence[RunRecord]) -> tuple[int, ...]:
    return tuple(sorted({run.seed for run in runs}))


def _not_run(name: str, runs: Sequence[RunRecord], experiment: Experiment | None) -> Decision:
    if runs:
        last = max(runs, key=lambda run: run.started)
        state = f"{len(runs)} of {len(runs)} runs of {name} came to no end; seed {last.seed} {last.status}"
        state += f": {last.error[:200]}" if last.error else ""
    else:
        state = f"there is no record of {name}"
    if experiment is None:
        return Decision(Verdict.NOT_RUN, f"{state}; no experiment file has that name")
    needed = ", ".join([*experiment.weights, *sources.needed_by(experiment)])
    needs = f"; it needs {needed}" if needed else ""
    return Decision(Verdict.NOT_RUN, f"{state}{needs}; run it with: scratchlab experiment={name}")


def _altered(run: RunRecord, experiment: Experiment | None) -> str:
    """How a run differs from the experiment as published, in words; empty if it does not."""
    changes = {key: value for key, value in run.changes.items() if not key.startswith(JUDGE)}
    if experiment is not None:
        stated = {key: value for key, value in experiment.differences.items() if key in run.config}
        for key, value in stated.items():
            if not _same(run.config[key], value) and key not in changes and not _swept(value):
                changes[key] = run.config[key]
    return ", ".join(f"{key}={value}" for key, value in changes.items())


def _same(ours: Any, stated: Any) -> bool:
    if isinstance(ours, int | float) and not isinstance(ours, bool):
        try:
            return float(stated) == float(ours)  # YAML reads 5e-4 as text
        except (TypeError, ValueError):
            return False
    return bool(ours == stated)


def _swept(value: Any) -> bool:
    return isinstance(value, str) and "," in value


def _mixed(name: str, claim: Claim, runs: Sequence[RunRecord]) -> str:
    """Runs of one name that are not of one kind, in words."""
    groups = arms(runs)
    if len(groups) > 1:
        keys = differing(groups)
        return f"the runs of {name} differ among themselves in {', '.join(keys) or 'what they changed'}"
    for key in ("data", "weights"):
        if len(found := {run.hashes[key] for run in runs if key in run.hashes}) > 1:
            return f"the runs of {name} used different {key}: {', '.join(sorted(h[:12] for h in found))}"
    if metric(claim.metric).judged and len(cards := {judge_card(run) for run in runs}) > 1:
        return f"the runs of {name} were judged by different judges: {'; '.join(sorted(cards))}"
    return ""


def _other_data(runs: Sequence[RunRecord], experiment: Experiment | None) -> str:
    """Words for data that satisfy no claim, or that are not the published file of an experiment that has one."""
    source = sources.SOURCES.get(str(runs[0].config.get("data.source", "")))
    if source is None:
        return ""
    if source.stand_in:
        return f"data.source={source.key}, {source.what}, satisfies no claim"
    known, found = source.published_hash, runs[0].hashes.get("data")
    if experiment is not None and known and found and found != known:
        return f"other data: {source.key} has the hash {found[:12]}, the published file {known[:12]}"
    return ""


def _asked_as(claim: Claim, run: RunRecord) -> bool:
    """Whether a run was judged by whom the claim was: each part of `claim.judge` is one of the run's card."""
    if not metric(claim.metric).judged:
        return True
    card = judge_card(run)
    parts = card.split(", ")
    return all(part in parts if "=" in part else part in card for part in claim.judge.split(", ") if part)


def _other_judge(claim: Claim, runs: Sequence[RunRecord]) -> str:
    cards = "; ".join(sorted({judge_card(run) or "no judge that they name" for run in runs}))
    return f"other judge: the claim was judged by {claim.judge}, the runs by {cards}"


def other_device(claim: Claim, runs: Sequence[RunRecord]) -> str:
    """Words for a time, or the like, that was published for another device than that of the runs."""
    if metric(claim.metric).steady:
        return ""
    if not claim.device:
        return f"{claim.metric} belongs to a device, and the claim names none"
    devices = {run.device for run in runs}
    if len(devices) > 1 or not all(claim.device.lower() in device.lower() for device in devices):
        return f"it was measured on {claim.device}, here on {', '.join(sorted(devices)) or 'an unnamed device'}"
    return ""


def diverged(claim: Claim, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs whose metric, or a loss behind it, is NaN or infinite."""
    names = [claim.metric]
    if claim.kind in (ClaimKind.score, *RELATIONS):
        names += metric(claim.metric).lost_with
    return [run for run in runs if any(_not_finite(run.metrics.get(name)) for name in names)]


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
