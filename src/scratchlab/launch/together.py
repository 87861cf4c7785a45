"""One run by several processes, as torchrun starts them: the first keeps the record, the others compute with it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchlab import processes
from scratchlab.runs.config import Device, Run, TrainingRun
from scratchlab.runs.record import Record, Task
from scratchlab.runs.registry import TASKS
from scratchlab.runs.signals import ending_once

Kept = tuple[dict[str, Any], bool]
"""A result, and whether it was there."""

_BROKEN_OFF = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed")
"""What gloo says in a RuntimeError where another process is gone."""


def run(config: Run, task: Task, keep: Callable[[Task], Kept]) -> Kept:
    """Do one run in this process and those beside it; `keep` is what a process alone would do with `task`.

    Only the first process has a result; the others end when their part is done.

    Raises:
        ValueError: nothing in the run can be divided.
        RuntimeError: another process has failed.
        KeyboardInterrupt: another process is gone without a word.
    """
    _check(config)
    import torch

    processes.join(gpus=torch.cuda.is_available() and config.compute.device in (Device.auto, Device.cuda))
    try:
        return _lead(task, keep) if processes.first() else _follow(config, task)
    finally:
        processes.part()


def _check(config: Run) -> None:
    if not isinstance(config, TrainingRun):
        possible = ", ".join(name for name, task in TASKS.items() if issubclass(task.schema(), TrainingRun))
        raise ValueError(
            f"task={config.task} under torchrun: {processes.started()} processes divide a training, and this has none; "
            f"possible: without torchrun, or task={possible}"
        )
    processes.check_rows(config.train.batch_size)  # type: ignore[attr-defined]


def _lead(task: Task, keep: Callable[[Task], Kept]) -> Kept:
    told = False

    def with_others(config: Any, record: Record) -> dict[str, Any]:
        nonlocal told
        record.computed["processes"] = processes.count()
        told = processes.agree(True)
        try:
            return task(config, record)
        except (RuntimeError, KeyboardInterrupt) as error:  # what the end of another comes to here
            if reason := processes.failure():
                raise RuntimeError(reason) from error
            if any(words in str(error) for words in _BROKEN_OFF):  # it said nothing: as if this one had been killed
                raise KeyboardInterrupt("another process was ended from outside, or lacked memory") from error
            raise

    try:
        return keep(with_others)
    finally:
        if not told:  # the run is done already, or cannot begin
            processes.agree(False)


def _follow(config: Run, task: Task) -> Kept:
    if processes.agree(False):
        with tempfile.TemporaryDirectory(prefix="scratchlab-") as scratch, ending_once():
            record = Record(Path(scratch))
            try:
                task(config, record)
            except processes.Left:
                pass
            except Exception as error:
                processes.tell_failure(error)
                raise
            finally:
                record.close()
    return {"metrics": {}}, False
