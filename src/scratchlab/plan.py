"""What a set of claims needs to be judged: experiments and seeds, there and missing; and how to make the missing."""

import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scratchlab.book.claims import Stated
from scratchlab.experiments import Experiment
from scratchlab.measured import Measured
from scratchlab.verdicts.single import PUBLISHED_SEED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Missing:
    """One run that no finished, unaltered record stands for."""

    experiment: Experiment
    seed: int

    @property
    def obstacle(self) -> str:
        """What from outside it needs besides data sets; empty if nothing."""
        return ", ".join(self.experiment.weights)

    def words(self, out: str) -> list[str]:
        return [f"experiment={self.experiment.name}", f"seed={self.seed}", f"out={out}"]


def missing(
    stated: Iterable[Stated],
    runs: Mapping[str, Sequence[Measured]],
    experiments: Mapping[str, Experiment],
    seeds: Sequence[int],
) -> list[Missing]:
    """The runs that the claims lack, prerequisites first; without `seeds`, those with the published seed."""
    names = dict.fromkeys(name for s in stated for name in (s.experiment, s.claim.versus) if name in experiments)
    found = []
    for name in _prerequisites_first(list(names), experiments):
        published = int(experiments[name].content.get("seed", PUBLISHED_SEED))
        there = {run.seed for run in runs.get(name, ()) if run.done and not run.changes}
        found += [Missing(experiments[name], seed) for seed in seeds or [published] if seed not in there]
    return found


def _prerequisites_first(names: list[str], experiments: Mapping[str, Experiment]) -> list[str]:
    """An experiment that names another one as a value goes on from it, so that one comes first."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name in ordered:
            return
        for value in experiments[name].differences.values():
            if isinstance(value, str) and value in experiments and value != name:
                add(value)
        ordered.append(name)

    for name in names:
        add(name)
    return ordered


def run_all(commands: Sequence[Sequence[str]]) -> list[str]:
    """Run the program with each list of words, one after the other, in processes of their own.

    What is done already is not repeated, and after one that fails the rest go on; returns the commands that failed.
    """
    failed = []
    for number, words in enumerate(commands, start=1):
        command = " ".join(["scratchlab", *words])
        log.info("run %d of %d: %s", number, len(commands), command)
        process = subprocess.Popen([sys.executable, "-m", "scratchlab", *words])
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # the run writes its record before it ends
            process.wait()
            raise
        if code:
            log.warning("%s ended with exit code %d", command, code)
            failed.append(command)
    return failed
