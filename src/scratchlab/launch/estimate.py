"""How long a job takes and how much memory, from finished runs of the same kind.

Where there is none it is not known, unless parts of such a run are run for it (`measure`).

A run is of the same kind if all that acts in it is the same but for what costs no time, and for the number of epochs,
with which the time of training grows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scratchlab.evidence import costs, index
from scratchlab.evidence.costs import Cost
from scratchlab.launch import measure
from scratchlab.launch.jobs import Job
from scratchlab.runs import identity
from scratchlab.runs.config import Device

MOST_READ = 400
"""Finished runs that are asked of each kind on each device, and records that are opened for it: the newest."""


@dataclass(frozen=True)
class Estimate:
    """What a job may take; None where no run tells."""

    seconds: float | None = None
    memory: int | None = None
    """Bytes at the peak."""
    device: str = ""
    """What the runs were computed on that tell so."""
    told_by: str = "finished runs"


class Estimates:
    """What finished runs tell about jobs of their kind, and parts of runs where there are none."""

    def __init__(self, jobs: Sequence[Job], *, measured: bool = False) -> None:
        """`measured`: run such parts."""
        self._kind = {job.folder: kind_of(job) for job in jobs}
        self._kinds: dict[str, list[Cost]] = {}
        self._measured: dict[str, Cost] = {}
        asked: dict[Path, set[str]] = {}
        for job in jobs:
            asked.setdefault(Path(job.config.out), set()).add(self._kind[job.folder])
        for out, kinds in asked.items():
            for one in sorted(index.of_kinds(out, kinds, most=MOST_READ), key=lambda one: one.written, reverse=True):
                if cost := one.entry.cost:
                    self._kinds.setdefault(cost.kind, []).append(cost)
        if measured:
            unknown = {self._kind[job.folder]: job for job in jobs if not self.of(job).device}
            self._measured = measure.costs_of(unknown)

    def of(self, job: Job) -> Estimate:
        """Of one of the jobs."""
        kind = self._kind[job.folder]
        runs = self._kinds.get(kind, [])
        device = job.config.compute.device
        wanted = device.name if device is not Device.auto else next((run.device_class for run in runs), "")
        runs = [run for run in runs if run.device_class == wanted]
        told_by = Estimate.told_by
        if not runs and (part := self._measured.get(kind)):
            runs, told_by = [part], "parts of runs"
        if not runs:
            return Estimate()
        epochs = float(identity.flatten(job.config).get(costs.EPOCHS) or 0)
        seconds = [run.seconds + run.training * (epochs / run.epochs - 1 if run.epochs else 0) for run in runs]
        memory = [run.memory for run in runs if run.memory is not None]
        return Estimate(median(seconds), max(memory, default=None), runs[0].device, told_by)


def kind_of(job: Job) -> str:
    """As in `costs.Cost`."""
    return costs.kind(job.config.task, identity.acting(identity.flatten(job.config), type(job.config)))
