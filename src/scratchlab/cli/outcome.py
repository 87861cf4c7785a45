"""How a command ends: the table of a sweep, its failures and the exit code, from what its jobs left on disk.

Every job, in whatever process a launcher runs it, leaves a file in the sweep's own folder. How it went is read from
there and from its record, so that nothing depends on what came back through a launcher.
"""

import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from scratchlab import processes
from scratchlab.cli import live, mistakes
from scratchlab.cli.sweep_folder import Entry, Sweep, read
from scratchlab.launch import jobs
from scratchlab.launch.words import value as words_of
from scratchlab.runs import record
from scratchlab.runs.config import OUT, Run

log = logging.getLogger("scratchlab")


class SweepFolder(Callback):
    """Settles before the first job where the sweep's own folder is."""

    current: ClassVar[Path | None] = None
    """The folder of the sweep that this process has started."""
    process: ClassVar[int] = 0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir).resolve()
        SweepFolder.current, SweepFolder.process = folder, os.getpid()
        quoted = str(folder).replace("'", "\\'")
        with read_write(config), open_dict(config):
            # a job composes it anew from these overrides: `out` may be another one there, and so may the directory
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
            config.hydra.sweep.dir = str(folder)
        if config.hydra.sweeper._target_ != jobs.PLANNED_SWEEPER:  # which plans first
            Sweep(folder).begin(config.fail_fast)
        if config.hydra.sweeper._target_ == jobs.BASIC_SWEEPER:
            for number, overrides in enumerate(jobs.split_composed(config)):
                Entry(number, list(overrides)).write(folder)


def check_alone() -> None:
    """A sweep is one process's work.

    Raises:
        ValueError: torchrun has started several.
    """
    if (count := processes.started()) > 1:
        raise ValueError(
            f"a sweep under torchrun: its {count} processes do one run together; possible: one run without -m, or the "
            "sweep without torchrun"
        )


class Job:
    """The job that this process is doing."""

    def __init__(self, entry: Entry, sweep: Sweep | None) -> None:
        self._entry, self._sweep = entry, sweep

    @property
    def number(self) -> int:
        return self._entry.number

    @property
    def words(self) -> str:
        return self._entry.words

    @property
    def choices(self) -> dict[str, str]:
        return self._entry.choices

    @property
    def overrides(self) -> list[str]:
        return self._entry.overrides

    @property
    def sweep(self) -> str:
        """The name of the sweep's folder; empty for a run on its own."""
        return self._sweep.folder.name if self._sweep is not None else ""

    def is_(self, config: Run) -> None:
        """Leave word of what was chosen, and of where the record will be."""
        self._entry.choices = jobs.choices(self._entry.overrides, type(config))
        self._entry.folder = str(record.folder_of(config).resolve())
        self._leave()

    def ends(self, exit_code: int) -> None:
        """Leave word that the run is done."""
        self._entry.exit_code = exit_code
        self._leave()
        if self._sweep is None and exit_code:
            sys.exit(exit_code)

    def fails(self, error: Exception) -> None:
        """Leave word of what went wrong, and say it now."""
        explained = mistakes.explain(error, self._entry.overrides)
        self._entry.error = explained or f"{type(error).__name__}: {error}"
        self._leave()
        log.error("%s failed: %s", self._entry.words, self._entry.error, exc_info=None if explained else error)
        if self._sweep is not None and self._sweep.fail_fast:
            self._sweep.stop(f"job {self._entry.number} failed, and fail_fast=true")

    def does_not_start(self, reason: str) -> None:
        self._entry.stopped = reason
        self._leave()

    def _leave(self) -> None:
        if self._sweep is not None:
            self._entry.write(self._sweep.folder)


@contextmanager
def one_job() -> Iterator[Job | None]:
    """Around the work of one job: in a sweep, a failure is left in its file and goes no further.

    Hydra's sweeper would end the sweep with the batch of the first failure, and a launcher with processes of its own
    would have to send the exception home. None: the sweep starts no more jobs.
    """
    hydra = HydraConfig.get()
    overrides = [str(word) for word in hydra.overrides.task]
    if hydra.mode is not RunMode.MULTIRUN:
        yield Job(Entry(0, overrides), None)
        return
    check_alone()
    sweep = Sweep(Path(hydra.sweep.dir))
    job = Job(Entry(sweep.number(hydra.job.num), overrides), sweep)
    if reason := sweep.stopped():
        job.does_not_start(reason)
        yield None
        return
    log.info("%s", live.line(sweep, hydra.job.num, job.number, job.words))
    with sweep.is_running(job.number):
        try:
            yield job
        except Exception as error:
            job.fails(error)
        except KeyboardInterrupt:
            # where the whole sweep stops, a job in a process of its own ends in peace: others are still at their step
            if SweepFolder.process == os.getpid() or not sweep.stopped():
                raise


@contextmanager
def of_the_sweep() -> Iterator[None]:
    """Around the whole command: a sweep ends in its table and its exit code, whatever ended it."""
    SweepFolder.current = None
    code = 0
    try:
        yield
    finally:
        if SweepFolder.current is not None:
            code = show(SweepFolder.current)
    if code:
        sys.exit(code)


def show(sweep: Path) -> int:
    """Print the table of what is done and a line for every job that is not; the exit code that the sweep has earned."""
    from scratchlab.report import tables

    entries = read(sweep)
    if not entries:
        print(f"error: no job of the sweep has left a word in {sweep}", file=sys.stderr)
        return 1
    states = [entry.state() for entry in entries]
    # two jobs are one run where an override has no effect
    done = list(dict.fromkeys(Path(e.folder) for e, (state, _) in zip(entries, states, strict=True) if state == "done"))
    if done and len(entries) > 1:
        names = tables.show_sweep(done, sweep)
        if names:
            print(_more(done, names))
    codes = []
    for entry, (state, reason) in zip(entries, states, strict=True):
        if state == "done":
            codes.append(entry.exit_code or 0)
        else:
            codes.append(1)
            print(f"{state}: {entry.words}: {reason}", file=sys.stderr)
    finished = sum(state == "done" for state, _ in states)
    if finished < len(entries):
        print(f"{finished} of {len(entries)} jobs are done; given again, the command repeats none", file=sys.stderr)
    return max(codes)


def _more(folders: Sequence[Path], names: Sequence[str]) -> str:
    """Where the records are, and the command that says more of them."""
    out = str(folders[0].parents[1])
    where = [] if out == OUT else [f"out={words_of(out)}"]
    line = shlex.join(["scratchlab", "task=compare", f"select={','.join(names)}", *where])
    return f"records: {os.path.commonpath([folder.resolve() for folder in folders])}; more with: {line}"
