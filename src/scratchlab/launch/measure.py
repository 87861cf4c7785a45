"""How long a job takes that no finished run tells of: two parts of it are run, and what grows goes on growing.

A part has the same share of every split and one epoch. What does not grow with the data, as reading it, is in both
alike. Parts are run by a process that has loaded its modules; what that takes a Python started anew is added.
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scratchlab.evidence import costs
from scratchlab.evidence.costs import Cost
from scratchlab.evidence.runs import read_run
from scratchlab.launch import jobs, warm
from scratchlab.launch.jobs import Job
from scratchlab.launch.words import value
from scratchlab.runs import identity
from scratchlab.runs.config import SHARES, Debug, TrainingRun

log = logging.getLogger(__name__)

SHORT = 20.0
"""Seconds: where the first part takes less, half of the run is a better second one than a smaller part."""


@dataclass(frozen=True)
class _Part:
    share: float
    cost: Cost


def costs_of(unknown: Mapping[str, Job]) -> dict[str, Cost]:
    """What jobs will take, by kind; left out is what trains nothing, and what does not come to its end."""
    training = {
        kind: job
        for kind, job in unknown.items()
        if isinstance(job.config, TrainingRun) and job.config.debug is Debug.none
    }
    if not training:
        return {}
    log.info("measuring: parts of %d runs, to know how long they take", len(training))
    with tempfile.TemporaryDirectory(prefix="scratchlab_measure_") as folder:
        loading: list[float] = []
        first = _run({kind: (job, Debug.eighth) for kind, job in training.items()}, Path(folder), loading)
        next_ = {kind: Debug.half if part.cost.seconds < SHORT else Debug.sixteenth for kind, part in first.items()}
        second = _run({kind: (training[kind], share) for kind, share in next_.items()}, Path(folder), loading)
    return {kind: _whole(kind, first[kind], part, min(loading, default=0.0)) for kind, part in second.items()}


def _run(parts: Mapping[str, tuple[Job, Debug]], folder: Path, loading: list[float]) -> dict[str, _Part]:
    """Run parts one after the other, each in a process of its own; those that came to their end.

    `loading` gains the seconds that loading took, where the parts did not load themselves.
    """
    lines = {kind: _words(job, debug, folder) for kind, (job, debug) in parts.items()}
    codes = warm.exit_codes([[*words, "hydra.mode=RUN"] for words in lines.values()], loading.append)
    found = {}
    for (kind, words), code in zip(lines.items(), codes, strict=True):
        cost = None if code else costs.of(read_run(jobs.job(words).folder))
        if cost is None:
            log.warning("%s: it cannot be measured, as this ended with exit code %d", parts[kind][0].command, code)
        else:
            found[kind] = _Part(SHARES[parts[kind][1]], cost)
    return found


def _words(job: Job, debug: Debug, folder: Path) -> list[str]:
    own = {"debug": debug.name, "out": value(folder), "tracking.mode": "none"}
    if identity.flatten(job.config).get(costs.EPOCHS):
        own[costs.EPOCHS] = "1"
    given = [word for word in job.overrides if word.lstrip("+").partition("=")[0] not in own]
    return [*given, *(f"{key}={word}" for key, word in own.items())]


def _whole(kind: str, one: _Part, other: _Part, loading: float) -> Cost:
    small, large = sorted((one, other), key=lambda part: part.share)
    times = (1 - large.share) / (large.share - small.share)

    def drawn_out(of_small: float, of_large: float) -> float:
        return of_large + times * max(0.0, of_large - of_small)

    return large.cost._replace(
        kind=kind,
        seconds=loading + drawn_out(small.cost.seconds, large.cost.seconds),
        training=drawn_out(small.cost.training, large.cost.training),
    )
