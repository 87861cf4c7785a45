"""Which runs may be held against a claim at all: present, unaltered, of the same data, weights and judge."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.data import sources
from scratchlab.evidence import parsing
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.confounds import judge_card
from scratchlab.evidence.items import mixed_items
from scratchlab.evidence.remarks import ending, mixtures
from scratchlab.evidence.runs import Arm, RunRecord, arms, differing
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.evidence.verdicts.speaking import DEVICE, JUDGE, PRECISION, Silent, ended, otherwise, together
from scratchlab.runs.claim import RELATIONS, Claim, ClaimKind
from scratchlab.runs.metrics import NOT_DECLARED, metric

Usable = tuple[Arm | Decision, tuple[str, ...]]
"""The runs that speak, as one arm, or the verdict where none can; and who does not speak, with other notes."""


def usable(
    name: str,
    claim: Claim,
    runs: Sequence[RunRecord],
    experiment: Experiment | None,
    published: Published | None = None,
) -> Usable:
    """The runs of `name` that can speak about `claim`.

    `published`: what the experiments are without any change; without it, a run is held against its experiment's file.
    """
    silent = Silent()
    found = _usable(name, claim, runs, experiment, published, silent)
    notes = silent.notes()
    if isinstance(found, Arm):
        lost = sum(not run.done for run, _ in silent.runs)
        if lost:
            notes = (f"survivors only: {lost} of {len(runs)} records of {name} came to no end", *notes)
        notes += tuple(mixtures(found, claim.metric))
    return found, notes


def _usable(
    name: str,
    claim: Claim,
    runs: Sequence[RunRecord],
    experiment: Experiment | None,
    published: Published | None,
    silent: Silent,
) -> Arm | Decision:
    done = silent.sort_out(runs, ended)
    if not done:
        return _not_run(name, runs, experiment)
    unaltered = silent.sort_out(done, lambda run: otherwise(run, experiment, published, claim))
    if not unaltered:
        what = together(silent.leave_out(done))
        return _refused(f"{name} was not run as published: {what}", done)
    having = [_judge_aside(run, claim) for run in silent.sort_out(unaltered, lambda run: _lacks(claim, run))]
    if not having:
        return _without_metric(name, claim, unaltered)
    if not metric(claim.metric).declared:
        measured = having[0].metrics[claim.metric]
        return replace(_refused(f"{claim.metric} {NOT_DECLARED}", having), measured=measured)
    if claim.kind not in (*RELATIONS, ClaimKind.ratio) and (problem := other_device(claim, having)):
        return _refused(problem, having)
    fitting = silent.sort_out(having, lambda run: "" if _asked_as(claim, run) else _other_judge(claim, [run]))
    if not fitting:
        return _refused(_other_judge(claim, having), having)
    fitting = _of_one_format(fitting, silent)
    if problem := _mixed(name, claim, fitting) or _other_data(fitting, experiment):
        return _refused(problem, having)
    return arms(fitting)[0]


def _refused(reason: str, runs: Sequence[RunRecord]) -> Decision:
    return Decision(Verdict.NOT_COMPARABLE, reason, seeds=_seeds(runs), device=runs[0].device)


def _lacks(claim: Claim, run: RunRecord) -> str:
    """Why a run has no number to hold against the claim; empty if it has one."""
    if claim.metric in run.wrong:
        return run.wrong[claim.metric]
    if run.metrics.get(claim.metric) is None:
        return f"its record has no metric {claim.metric}"
    return parsing.unfit(claim, run.metrics[claim.metric]) or _other_count(claim, run)


def _other_count(claim: Claim, run: RunRecord) -> str:
    """Words for a share of another number of items than the published one; empty if nothing shows that it is."""
    declared = metric(claim.metric)
    items = run.items(declared.split) if declared.from_predictions and claim.n else None
    if items is None or len(items.index) == claim.n:
        return ""
    return f"{claim.metric} is of {len(items.index)} items, the published one of {claim.n}"


def _without_metric(name: str, claim: Claim, runs: Sequence[RunRecord]) -> Decision:
    wrong = dict.fromkeys(
        _lacks(claim, run) for run in runs if run.metrics.get(claim.metric) or claim.metric in run.wrong
    )
    if wrong:
        return _refused(f"a number that is judged by no test: {'; '.join(wrong)}", runs)
    there = ", ".join(sorted(runs[0].metrics)) or "none"
    reason = f"the records of {name} have no metric {claim.metric}; they have: {there}"
    return Decision(Verdict.NOT_RUN, reason, seeds=_seeds(runs), device=runs[0].device)


def _of_one_format(runs: Sequence[RunRecord], silent: Silent) -> list[RunRecord]:
    """The runs as of one device setting, which says nothing where the device is recorded; float32 before any other."""
    formats = {str(run.config.get(PRECISION, "float32")) for run in runs}
    if len(formats) > 1 and "float32" in formats:
        runs = silent.sort_out(
            runs,
            lambda run: (
                "" if (found := run.config.get(PRECISION, "float32")) == "float32" else f"in {found}, beside float32"
            ),
        )
    return [replace(run, config={k: v for k, v in run.config.items() if k != DEVICE}) for run in runs]


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
        state = f"{len(runs)} of {len(runs)} runs of {name} came to no end; seed {last.seed} {ending(last)}"
    else:
        state = f"there is no record of {name}"
    if experiment is None:
        return Decision(Verdict.NOT_RUN, f"{state}; no experiment file has that name")
    needed = ", ".join([*experiment.weights, *sources.needed_by(experiment)])
    needs = f"; it needs {needed}" if needed else ""
    return Decision(Verdict.NOT_RUN, f"{state}{needs}; run it with: scratchlab experiment={name}")


def _mixed(name: str, claim: Claim, runs: Sequence[RunRecord]) -> str:
    """Runs of one name that are not of one kind, in words."""
    groups = arms(runs)
    if len(groups) > 1:
        keys = differing(groups)
        return f"the runs of {name} differ among themselves in {', '.join(keys) or 'what they changed'}"
    for key in ("data", "weights"):
        if len(found := {run.hashes[key] for run in runs if key in run.hashes}) > 1:
            return f"the runs of {name} used different {key}: {', '.join(sorted(h[:12] for h in found))}"
    if problem := mixed_items(runs, metric(claim.metric).split):
        return f"{problem}, so the runs of {name} are no one arm"
    if metric(claim.metric).judged and len(cards := {judge_card(run) for run in runs}) > 1:
        return f"the runs of {name} were judged by different judges: {'; '.join(sorted(cards))}"
    return ""


def _other_data(runs: Sequence[RunRecord], experiment: Experiment | None) -> str:
    """Words for data that satisfy no claim, or that are not the published file of an experiment that has one."""
    for run in runs:
        source = sources.SOURCES.get(str(run.config.get("data.source", "")))
        if source is None:
            continue
        if source.stand_in:
            return f"data.source={source.key}, {source.what}, satisfies no claim"
        known, found = source.published_hash, run.hashes.get("data", "")
        if experiment is not None and known and found != known:
            has = f"has the hash {found[:12]}" if found else "has no hash in the record"
            return f"other data: {source.key} {has}, the published file {known[:12]}"
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
