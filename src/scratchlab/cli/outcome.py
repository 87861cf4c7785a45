"""How a command ends: the table of a sweep, its failures and the exit code, from what its jobs left on disk.

Every job, in whatever process a launcher runs it, leaves a file in the sweep's own folder. How it went is read from
there and from its record, so that nothing depends on what came back through a launcher.
"""

import json
import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from scratchlab.cli import mistakes
from scratchlab.evidence.runs import read_run
from scratchlab.launch import jobs
from scratchlab.runs import record
from scratchlab.runs.config import Run
from scratchlab.runs.record import write_atomically

log = logging.getLogger("scratchlab")

JOB_FILES = "scratchlab_job_*.json"


@dataclass
class Entry:
    """One job of a sweep, as its file in the sweep's folder tells it."""

    number: int
    overrides: list[str]
    choices: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    """Of its record; empty until the job has been composed."""
    exit_code: int | None = None
    """None until the job came to its end."""
    error: str = ""

    @property
    def words(self) -> str:
        return f"job {self.number} ({shlex.join(self.overrides)})"

    def state(self) -> tuple[str, str]:
        """How it went, and why if it is not done."""
        if self.error:
            return "failed", self.error
        if self.exit_code is not None:
            return "done", ""
        if not self.folder:
            return "not started", "the sweep ended before it, or its process died at once"
        run = read_run(Path(self.folder))
        return run.status, run.error or "its process ended without a word"

    def write(self, sweep: Path) -> None:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_atomically(sweep / JOB_FILES.replace("*", str(self.number)), f"{text}\n")


def read(sweep: Path) -> list[Entry]:
    """The jobs of a sweep, in the order of their numbers."""
    entries = [Entry(**json.loads(path.read_text(encoding="utf-8"))) for path in sweep.glob(JOB_FILES)]
    return sorted(entries, key=lambda entry: entry.number)


class SweepFolder(Callback):
    """Settles before the first job where the sweep's own folder is, and leaves there which jobs are to come."""

    current: ClassVar[Path | None] = None
    """The folder of the sweep that this process has started."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir).resolve()
        SweepFolder.current = folder
        quoted = str(folder).replace("'", "\\'")
        with read_write(config), open_dict(config):
            # a job composes it anew from these overrides: `out` may be another one there, and so may the directory
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")
            config.hydra.sweep.dir = str(folder)
        for left in folder.glob(JOB_FILES):  # where hydra.sweep.dir was typed, another sweep may have been there
            left.unlink()
        if config.hydra.sweeper._target_ == jobs.BASIC_SWEEPER:
            folder.mkdir(parents=True, exist_ok=True)
            for number, overrides in enumerate(jobs.split_composed(config)):
                Entry(number, list(overrides)).write(folder)


class Job:
    """The job that this process is doing."""

    def __init__(self, entry: Entry, sweep: Path | None) -> None:
        self._entry, self._sweep = entry, sweep

    @property
    def choices(self) -> dict[str, str]:
        return self._entry.choices

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

    def _leave(self) -> None:
        if self._sweep is not None:
            self._entry.write(self._sweep)


@contextmanager
def one_job() -> Iterator[Job]:
    """Around the work of one job: in a sweep, a failure is left in its file and goes no further.

    Hydra's sweeper would end the sweep with the batch of the first failure, and a launcher with processes of its own
    would have to send the exception home.
    """
    hydra = HydraConfig.get()
    overrides = [str(word) for word in hydra.overrides.task]
    if hydra.mode is not RunMode.MULTIRUN:
        yield Job(Entry(0, overrides), None)
        return
    job = Job(Entry(hydra.job.num, overrides), Path(hydra.sweep.dir))
    try:
        yield job
    except Exception as error:
        job.fails(error)


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
        tables.show_sweep(done, sweep)
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
