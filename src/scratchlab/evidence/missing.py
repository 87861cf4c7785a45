"""What a set of claims needs to be judged and no record stands for: experiments and seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scratchlab.book.claims import Stated
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.configuration import Published
from scratchlab.evidence.runs import RunRecord
from scratchlab.evidence.verdicts.single import PUBLISHED_SEED
from scratchlab.evidence.verdicts.speaking import otherwise
from scratchlab.runs.registry import TASKS


@dataclass(frozen=True)
class Missing:
    """One run that no finished, unaltered record stands for."""

    experiment: Experiment
    seed: int

    @property
    def obstacle(self) -> str:
        """What from outside it needs besides data sets; empty if nothing."""
        return ", ".join(self.experiment.weights)

    def overrides(self, out: str) -> list[str]:
        """What makes it, as on the command line."""
        return [f"experiment={self.experiment.name}", f"seed={self.seed}", f"out={out}"]


def missing_runs(
    stated: Iterable[Stated],
    runs: Mapping[str, Sequence[RunRecord]],
    experiments: Mapping[str, Experiment],
    seeds: Sequence[int],
    published: Published | None = None,
) -> list[Missing]:
    """The runs that the claims lack, prerequisites first; without `seeds`, those with the published seed."""
    names = dict.fromkeys(name for s in stated for name in (s.experiment, s.claim.versus) if name in experiments)
    found = []
    for name in _prerequisites_first(list(names), experiments):
        usual = int(experiments[name].content.get("seed", PUBLISHED_SEED))
        there = {
            run.seed for run in runs.get(name, ()) if run.done and not otherwise(run, experiments[name], published)
        }
        found += [Missing(experiments[name], seed) for seed in seeds or [usual] if seed not in there]
    return found


def _prerequisites_first(names: list[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """Before an experiment, the one whose finished run it starts from, named by its claims or not."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name in ordered:
            return
        key = TASKS[experiments[name].task].schema().goes_on_from
        before = str(experiments[name].differences.get(key, ""))
        if before in experiments and before != name:
            add(before)
        ordered.append(name)

    for name in names:
        add(name)
    return ordered
