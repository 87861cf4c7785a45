"""All that records say at once: verdicts on claims, and one comparison for each kind of run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scratchlab.book import claims
from scratchlab.book.claims import Stated
from scratchlab.book.experiments import Experiment
from scratchlab.evidence import compare
from scratchlab.evidence.baseline import choose_metric, chosen, in_order, preferred_metric
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.effects import Effect, effects
from scratchlab.evidence.flips import flips
from scratchlab.evidence.headline import headline
from scratchlab.evidence.messages import Messages
from scratchlab.evidence.pairs import Pair, all_pairs
from scratchlab.evidence.records import Records
from scratchlab.evidence.remarks import problem_lines
from scratchlab.evidence.runs import Arm, RunRecord, arms
from scratchlab.evidence.verdicts import decide, misses, row
from scratchlab.files import dotted
from scratchlab.matching import matches
from scratchlab.runs.metrics import metric as declaration

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
    why: str = ""
    """Why the baseline is the baseline, in words."""
    declared: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By experiment, the settings that its file declares."""
    said: list[str] = field(default_factory=list)
    """Lines about the messages: which are left out, how many also stand in training."""

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every arm against every other, corrected for all of them; none where the arms are too many."""
        return all_pairs(self.arms, self.metric, self.declared)

    @cached_property
    def headline(self) -> str:
        """What was found, in a sentence with its number; empty for a single arm."""
        return headline(self.arms, self.metric, self.pairs)

    @cached_property
    def effects(self) -> list[Effect]:
        """Main effects and interactions, where the arms are a grid of choices."""
        return effects(self.arms, self.metric)

    @property
    def table(self) -> "pd.DataFrame":
        """One row an arm, the baseline first; nested parts of table.json have dotted names."""
        import pandas as pd

        return pd.DataFrame([dotted(row, keep=("changed", "settings")) for row in self.rows])


@dataclass(frozen=True)
class Evidence:
    runs: list[RunRecord]
    verdicts: list[dict[str, Any]]
    """Of claims about what was published, and of findings asked of another model: `report.verdicts.apart`."""
    comparisons: list[Comparison]
    problems: list[str] = field(default_factory=list)
    """A line for every spoilt record."""
    chance: list[str] = field(default_factory=list)
    """How many verdicts miss, beside how many chance makes one expect."""


def gather(
    out: Path | str,
    experiments: Mapping[str, Experiment],
    *,
    select: str = "*",
    seeds: Sequence[int] = (),
    baseline: str = "",
    published: Published | None = None,
    texts: bool = False,
    keep_index: bool = True,
) -> Evidence:
    """Read the records below `out` and judge and compare all that match `select`; needs no data and no weights.

    `texts`: as in `comparisons`; `keep_index`: as in `index.below`.
    """
    named = Records(out, seeds, keep=keep_index)  # a claim may be about a run outside of the selection
    runs = named.matching(select)
    names = [n for n in dict.fromkeys((*experiments, *named)) if matches(n, select)]
    stated = [s for name in names for s in claims_about(name, experiments, named)]
    decided = [(s, decide(s, named, experiments, published)) for s in stated]
    verdicts = [row(s, decision) for s, decision in decided]
    chance = misses(decided).lines()
    compared = comparisons(runs, experiments, baseline, texts=texts)
    return Evidence(runs, verdicts, compared, problem_lines(runs), chance)


def claims_about(name: str, experiments: Mapping[str, Experiment], runs: Records) -> list[Stated]:
    """The claims of an experiment's file; of its records, where no file has that name.

    The rows of the latter say so: a record's own word is no published number.
    """
    if name in experiments:
        return claims.of([experiments[name]])
    holder = runs.with_claims(name)
    entries = holder.claims if holder else ()
    return [Stated(name, claims.parse(entry, f"{name} (its record)")) for entry in entries]


def comparisons(
    runs: Iterable[RunRecord],
    experiments: Mapping[str, Experiment],
    baseline: str = "",
    metric: str = "",
    *,
    texts: bool = False,
    all_tasks: bool = False,
) -> list[Comparison]:
    """One comparison for each task that has at least two arms and a metric that is preferred, or asked for.

    `texts`: lay the messages beside the items that changed, where their files are on this machine; `all_tasks`: also
    those with one arm, or with only numbers that nobody prefers.

    Raises:
        ValueError: no task has the baseline or the metric that is asked for.
    """
    by_task: dict[str, list[Arm]] = {}
    for arm in arms(runs):
        by_task.setdefault(arm.runs[0].task, []).append(arm)
    by_task = {task: in_order(members) for task, members in by_task.items()}
    declared = {name: list(experiment.differences) for name, experiment in experiments.items()}
    several = {task: members for task, members in by_task.items() if len(members) > 1 or all_tasks}
    bases = _asked_for(several, baseline, lambda members, wanted: chosen(members, wanted))

    def measured(members: list[Arm], wanted: str) -> str:
        base, _ = bases[members[0].runs[0].task]
        if wanted or (all_tasks and any(run.metrics for run in base.runs)):
            return choose_metric(members, base, wanted)
        return preferred_metric(members, base)

    metrics = _asked_for(several, metric, measured)
    found = []
    for task, members in several.items():
        if not (compared := metrics.get(task)):
            continue
        base, why = bases[task]
        messages = Messages(members) if texts else None
        rows = compare.rows(
            members, base, compared, declared=declared, copies=messages.copies(members) if messages else None
        )
        changed = {arm.label: flips(arm, base, compared) for arm in members if arm is not base}
        if messages:
            messages.add_texts(changed, {arm.label: arm for arm in members}, declaration(compared).split)
        said = messages.lines if messages else []
        found.append(Comparison(task, compared, base, members, rows, changed, why, declared, said))
    return found


T = TypeVar("T")


def _asked_for(by_task: Mapping[str, list[Arm]], wanted: str, choose: Callable[[list[Arm], str], T]) -> dict[str, T]:
    """What each task has of what is asked for; a task that has it not takes its own, unless none has it."""
    found: dict[str, T] = {}
    problems = []
    for task, members in by_task.items():
        try:
            found[task] = choose(members, wanted)
        except ValueError as error:
            problems.append(error)
            if wanted:
                found[task] = choose(members, "")
    if problems and len(problems) == len(by_task):
        raise problems[0]
    return found
