"""Show what there is: every experiment with its exercise, what it changes, its claims, what it needs and takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.book import experiments, resources
from scratchlab.data import sources
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


COLUMNS = ("experiment", "exercise", "changes", "claims", "needs", "takes")


@dataclass(kw_only=True)
class List(Run):
    task: ClassVar[str] = "list"
    recorded: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    select: str = "*"
    """Globs over experiment names, comma-separated."""


def list_experiments(config: List, record: "Record") -> dict[str, Any]:
    from scratchlab.report import terminal

    chosen = experiments.select(config.select)
    title = f"{len(chosen)} experiments; run one with: scratchlab experiment=NAME"
    machines = dict.fromkeys(cost.machine for name, cost in resources.read().items() if name in chosen)
    if machines:
        title += f"; taken on {'; '.join(machines)}"
    terminal.show(title, COLUMNS, [_row(e) for e in chosen.values()])
    return {"experiments": list(chosen)}


def _row(experiment: experiments.Experiment) -> list[str]:
    changed = "\n".join(f"{key}={value}" for key, value in experiment.differences.items())
    claims = "\n".join(
        f"{'asked: ' * ('asks' in claim)}{claim['metric']} "
        f"{claim['direction'] if 'direction' in claim else '= ' + str(claim['value'])}"
        f"{' than ' + claim['versus'] if 'versus' in claim else ''}"[:80]
        for claim in experiment.claims
    )
    needs = "\n".join([*experiment.weights, *sources.needed_by(experiment)])
    changed = changed or f"task={experiment.task} as it is"
    cost = None if experiment.local else resources.read().get(experiment.name)
    takes = cost.in_short if cost else resources.NOT_MEASURED
    return [experiment.name, experiment.exercise, changed, claims, f"{needs}\n", takes]
