"""All that records say at once: verdicts on claims, and one comparison for each kind of run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.book import claims
from scratchlab.book.claims import Stated
from scratchlab.book.experiments import Experiment
from scratchlab.evidence import compare
from scratchlab.evidence.baseline import choose_baseline, choose_metric, preferred_metric
from scratchlab.evidence.flips import flips
from scratchlab.evidence.runs import Arm, RunRecord, arms, by_name, read_runs
from scratchlab.evidence.verdicts import decide, row
from scratchlab.files import dotted
from scratchlab.matching import matches

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """The arms of one task against one baseline."""

    task: str
    metric: str
    baseline: Arm
    arms: list[Arm]
    rows: list[dict[str, Any]]
    flips: dict[str, list[dict[str, Any]]]

    @property
    def table(self) -> "pd.DataFrame":
        """One row an arm, the baseline first; nested parts of table.json have dotted names."""
        import pandas as pd

        return pd.DataFrame([dotted(row, keep=("changed", "settings")) for row in self.rows])


@dataclass(frozen=True)
class Evidence:
    runs: list[RunRecord]
    verdicts: list[dict[str, Any]]
    comparisons: list[Comparison]


def gather(
    out: Path | str,
    experiments: Mapping[str, Experiment],
    *,
    select: str = "*",
    seeds: Sequence[int] = (),
    baseline: str = "",
) -> Evidence:
    """Read the records below `out` and judge and compare all that match `select`; needs no data and no weights."""
    every = read_runs(out, seeds=seeds)
    runs = [run for run in every if matches(run.name, select)]
    named = by_name(every)  # a claim may be about a run outside of the selection
    names = [n for n in dict.fromkeys((*experiments, *named)) if matches(n, select)]
    stated = [s for name in names for s in claims_about(name, experiments, named)]
    verdicts = [row(s, decide(s, named, experiments)) for s in stated]
    return Evidence(runs, verdicts, comparisons(runs, experiments, baseline))


def claims_about(
    name: str, experiments: Mapping[str, Experiment], runs: Mapping[str, Sequence[RunRecord]]
) -> list[Stated]:
    """The claims of an experiment's file; of its records, where no file has that name."""
    if name in experiments:
        return claims.of([experiments[name]])
    holder = next((run for run in runs.get(name, ()) if run.claims), None)
    entries = holder.claims if holder else ()
    return [Stated(name, claims.parse(entry, f"{name} (its record)")) for entry in entries]


def comparisons(
    runs: Iterable[RunRecord], experiments: Mapping[str, Experiment], baseline: str = "", metric: str = ""
) -> list[Comparison]:
    """One comparison for each task that has at least two arms, and a preferred metric or the one asked for."""
    by_task: dict[str, list[Arm]] = {}
    for arm in arms(runs):
        by_task.setdefault(arm.runs[0].task, []).append(arm)
    declared = {name: list(experiment.differences) for name, experiment in experiments.items()}
    found = []
    for task, members in by_task.items():
        if len(members) < 2:
            continue
        try:
            base = choose_baseline(members, baseline)
        except ValueError:
            base = choose_baseline(members, "")  # the one asked for belongs to another task
        compared = choose_metric(members, base, metric) if metric else preferred_metric(members, base)
        if not compared:
            continue
        rows = compare.rows(members, base, compared, declared=declared)
        changed = {arm.label: flips(arm, base, compared) for arm in members if arm is not base}
        found.append(Comparison(task, compared, base, members, rows, changed))
    return found
