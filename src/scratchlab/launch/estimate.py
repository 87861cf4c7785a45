"""How long a job takes and how much memory, from finished runs of the same kind; where there is none it is not known.

A run is of the same kind if all that acts in it is the same but for what costs no time, and for the number of epochs,
with which the time of training grows.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scratchlab.evidence.runs import RunRecord, read_run
from scratchlab.launch.jobs import Job
from scratchlab.runs import identity, record
from scratchlab.runs.config import Device

TIMELESS = (
    *("seed", "position", "train.lr", "train.weight_decay", "train.warmup", "train.initial_lr", "train.min_lr"),
    *("train.ignore_index", "tune.lora_alpha", "tune.lora_scaling", "data.split", "data.split_seed"),
    *("data.shuffle_labels", "model.causal"),
)
"""Keys that cost no time, whatever they are."""
EPOCHS = "train.epochs"
MOST_READ = 400
"""Records that an estimate is made from, the newest."""


@dataclass(frozen=True)
class Estimate:
    """What a job may take; None where no run tells."""

    seconds: float | None = None
    memory: int | None = None
    """Bytes at the peak."""
    device: str = ""
    """What the runs were computed on that tell so."""


@dataclass(frozen=True)
class _Run:
    epochs: float
    seconds: float
    training: float
    memory: int | None
    device: str
    device_class: str


class Estimates:
    """What finished runs tell about jobs of their kind."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._kinds: dict[str, list[_Run]] = {}
        tasks = {job.config.task for job in jobs}
        for out in {Path(job.config.out) for job in jobs}:
            newest = sorted(out.glob(f"*/*/{record.RESULT}"), key=lambda path: path.stat().st_mtime, reverse=True)
            for path in newest[:MOST_READ]:
                run = read_run(path.parent)
                if run.done and run.task in tasks:
                    self._add(run)

    def _add(self, run: RunRecord) -> None:
        memory = run.metrics.get("peak_memory_bytes")
        training = run.metrics.get("train_seconds")
        if run.metrics.get("trained_in"):  # its training was done elsewhere
            return
        found = _Run(
            float(run.config.get(EPOCHS) or 0),
            run.seconds,
            float(training) if isinstance(training, int | float) else 0.0,
            memory if isinstance(memory, int) else None,
            run.device,
            run.device_class,
        )
        self._kinds.setdefault(_kind(run.task, run.acting), []).append(found)

    def of(self, job: Job) -> Estimate:
        flat = identity.flatten(job.config)
        runs = self._kinds.get(_kind(job.config.task, identity.acting(flat, type(job.config))), [])
        device = job.config.compute.device
        wanted = device.name if device is not Device.auto else next((run.device_class for run in runs), "")
        runs = [run for run in runs if run.device_class == wanted]
        if not runs:
            return Estimate()
        epochs = float(flat.get(EPOCHS) or 0)
        seconds = [run.seconds + run.training * (epochs / run.epochs - 1 if run.epochs else 0) for run in runs]
        memory = [run.memory for run in runs if run.memory is not None]
        return Estimate(median(seconds), max(memory, default=None), runs[0].device)


def _kind(task: str, acting: dict[str, Any]) -> str:
    rest = {key: value for key, value in acting.items() if key not in (*TIMELESS, EPOCHS, "compute.device")}
    return json.dumps([task, rest], sort_keys=True, default=str)
