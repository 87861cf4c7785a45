"""What is to be said of the runs behind a row of a table, besides their numbers: who is missing, who is unlike whom."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from scratchlab.evidence.configuration import misprint
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.runs.metrics import metric as declaration


def mixtures(arm: Arm, metric: str) -> Iterator[str]:
    """What the runs of an arm do not have in common although they are pooled, and what nothing but they say."""
    if len(devices := {run.device for run in arm.runs if run.device}) > 1:
        yield f"the runs of {arm.name} are of different devices: {', '.join(sorted(devices))}"
    for key in ("scratchlab", "torch"):
        if len(found := {run.versions[key] for run in arm.runs if key in run.versions}) > 1:
            yield f"the runs of {arm.name} are of different versions of {key}: {', '.join(sorted(found))}"
    revisions = {run.revision for run in arm.runs if run.revision is not None}
    if len(revisions) > 1:
        yield f"the runs of {arm.name} are of different revisions: {', '.join(map(str, sorted(revisions)))}"
    for run in arm.runs:
        same_seed = [older for older in arm.older if older.seed == run.seed]
        results = [one.metrics.get(metric) for one in (*same_seed, run)]
        if len({str(value) for value in results}) > 1:
            shown = ", ".join(declaration(metric).shown(value) for value in results)
            yield f"seed {run.seed} of {arm.name} has {len(results)} records that differ ({shown}); the last one speaks"
    declared = declaration(metric)
    if declared.from_predictions and (bare := [r for r in arm.runs if metric in r.metrics and not r.keeps_predictions]):
        yield f"{metric} of {_seeds(bare)} stands in the record alone: no predictions were kept that would show it"


def absent(arm: Arm, metric: str) -> Iterator[str]:
    """Which runs of an arm do not speak about a metric, and why; and records that are not what they say."""
    for run in arm.lost:
        yield f"survivors only: seed {run.seed} came to no end ({ending(run)})"
    for run in arm.runs:
        if run.metrics.get(metric) is None and (len(arm.runs) > 1 or metric in run.wrong):
            yield f"seed {run.seed} does not speak: {run.wrong.get(metric, f'its record has no metric {metric}')}"
        if wrong := misprint(run):
            yield f"seed {run.seed}: {wrong}"


class Checked(Protocol):
    """A record, or what is known of it."""

    @property
    def folder(self) -> Path: ...
    @property
    def status(self) -> str: ...
    @property
    def problems(self) -> Sequence[str]: ...


def problem_lines(runs: Iterable[Checked]) -> list[str]:
    """A line for every record with which something is wrong: which one, what, and what follows."""
    lines = []
    for run in runs:
        if run.problems:
            follows = "it does not speak" if run.status == "unreadable" else "judged by no test"
            where = f"{run.folder.parent.name}/{run.folder.name}"
            lines.append(f"spoilt record {where}: {'; '.join(run.problems)}: {follows}")
    return lines


def unfinished(runs: Iterable[RunRecord]) -> list[str]:
    """A line for every run that came to no end: its number is in no row."""
    return [
        f"not in the table: {run.name} seed {run.seed}: {ending(run)}"
        for run in runs
        if not run.done and run.status != "unreadable"
    ]


def ending(run: RunRecord) -> str:
    """How a run ended that is not done, in words."""
    return f"{run.status}: {' '.join(run.error.split())[:200]}" if run.error else run.status


def _seeds(runs: Iterable[RunRecord]) -> str:
    return "seeds " + ", ".join(str(run.seed) for run in runs)
