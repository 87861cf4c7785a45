"""A sweep's own folder: its jobs, in whatever process they run, leave word there and look whether to stop."""

import json
import os
import platform
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from scratchlab.evidence.runs import read_run
from scratchlab.runs.record import write_atomically

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
    stopped: str = ""
    """Why it was not started, or stopped on its way."""

    @property
    def words(self) -> str:
        return f"job {self.number} ({shlex.join(self.overrides)})"

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come of it: it is done, it failed, or it was asked to stop."""
        return self.exit_code is not None or bool(self.error or self.stopped) or self.state()[0] == "interrupted"

    def state(self) -> tuple[str, str]:
        """How it went, and why if it is not done."""
        if self.error:
            return "failed", self.error
        if self.exit_code is not None:
            return "done", ""
        if not self.folder:
            return "not started", self.stopped or "the sweep ended before it, or its process died at once"
        run = read_run(Path(self.folder))
        return run.status, self.stopped or run.error or "its process ended without a word"

    def write(self, sweep: Path) -> None:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        write_atomically(sweep / JOB_FILES.replace("*", str(self.number)), f"{text}\n")


def read(sweep: Path) -> list[Entry]:
    """The jobs of a sweep, in the order of their numbers."""
    entries = [Entry(**json.loads(path.read_text(encoding="utf-8"))) for path in sweep.glob(JOB_FILES)]
    return sorted(entries, key=lambda entry: entry.number)


@dataclass(frozen=True)
class Expected:
    """What is known of a job before it starts."""

    arm: int
    """Its place among the arms of the sweep, from 1: jobs that differ in their seeds only are one arm."""
    arms: int
    seconds: float | None
    """What finished runs of its kind took; None where there is none."""
    words: str = ""
    """What it has otherwise than the others."""


@dataclass(frozen=True)
class Sweep:
    """A sweep's own folder: what its jobs, in whatever process, must know of it."""

    folder: Path
    _NUMBERS: ClassVar[str] = "launched.json"
    _STOP: ClassVar[str] = "stop"
    _RUNNING: ClassVar[str] = "running_"
    _EXPECTED: ClassVar[str] = "expected.json"

    def begin(self, fail_fast: bool) -> None:
        """Make the folder, with nothing left there by another sweep."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in [
            *(*self.folder.glob(JOB_FILES), *self.folder.glob(f"{self._RUNNING}*")),
            *(self.folder / name for name in (self._STOP, self._EXPECTED)),
        ]:
            left.unlink(missing_ok=True)
        self._write([], fail_fast)

    def launches(self, numbers: list[int]) -> int:
        """Note which jobs a launcher is given; the number that it is to give to the first of them."""
        before, fail_fast = self._read()
        self._write([*before, *numbers], fail_fast)
        return len(before)

    def number(self, launched: int) -> int:
        """The job that a launcher knows by another number."""
        numbers, _ = self._read()
        return numbers[launched] if launched < len(numbers) else launched

    @property
    def launched(self) -> int:
        """Jobs that launchers were given so far; 0 where another sweeper does not say."""
        return len(self._read()[0])

    @property
    def fail_fast(self) -> bool:
        return self._read()[1]

    def expect(self, jobs: Mapping[int, Expected]) -> None:
        """Note what is known of the jobs that are to run before the first one starts."""
        found = {"begun": time.time(), "jobs": {number: astuple(one) for number, one in jobs.items()}}
        write_atomically(self.folder / self._EXPECTED, json.dumps(found))

    def expected(self) -> tuple[float, dict[int, Expected]]:
        """When that was, and what was noted; nothing where another sweeper does not say."""
        path = self.folder / self._EXPECTED
        if not path.is_file():
            return 0.0, {}
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["begun"], {int(number): Expected(*one) for number, one in found["jobs"].items()}

    @property
    def order(self) -> list[int]:
        """The jobs that launchers were given so far, in the order in which they start."""
        return self._read()[0]

    def stop(self, reason: str) -> None:
        """No job starts from now on."""
        write_atomically(self.folder / self._STOP, reason)

    def stopped(self) -> str:
        """Why no more jobs start; empty if they do."""
        path = self.folder / self._STOP
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def running(self) -> dict[int, int]:
        """Processes that are doing a job, on this machine, besides this one, and which job that is."""
        here = f"{self._RUNNING}{platform.node()}_"
        found = {}
        for mark in self.folder.glob(f"{here}*"):
            try:
                with FileLock(mark).acquire(timeout=0):  # its process is dead, and another may have its number
                    mark.unlink(missing_ok=True)
            except Timeout:
                number, _, process = mark.name.removeprefix(here).partition("_")
                found[int(process)] = int(number)
        return {process: number for process, number in found.items() if process != os.getpid()}

    @contextmanager
    def is_running(self, number: int) -> Iterator[None]:
        """Around a job: it can be told to stop."""
        mark = self.folder / f"{self._RUNNING}{platform.node()}_{number}_{os.getpid()}"
        with FileLock(mark):
            try:
                yield
            finally:
                mark.unlink(missing_ok=True)

    def _read(self) -> tuple[list[int], bool]:
        path = self.folder / self._NUMBERS
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found.get("numbers", []), found.get("fail_fast", False)

    def _write(self, numbers: list[int], fail_fast: bool) -> None:
        write_atomically(self.folder / self._NUMBERS, json.dumps({"numbers": numbers, "fail_fast": fail_fast}))
