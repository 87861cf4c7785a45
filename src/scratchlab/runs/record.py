"""A run's folder: written whatever happens, read back by the thousand.

`outputs/<name>/<fingerprint>/` holds config.yaml, history.jsonl, log.txt, result.json and the task's own files. The
result is written last, in one step, so that a folder with a result is a run that came to an end, and one without
was killed.
"""

import contextlib
import json
import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import yaml

from scratchlab.files import LOADER, dotted, in_one_step, to_json, with_numbers
from scratchlab.matching import matches
from scratchlab.runs import environment
from scratchlab.runs.config import Run
from scratchlab.runs.identity import fingerprint, plain
from scratchlab.runs.tracking import Tracker

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

RESULT, CONFIG, HISTORY, LOG = "result.json", "config.yaml", "history.jsonl", "log.txt"
PREVIOUS = "previous"
MODEL = "checkpoint/model.safetensors"
"""The trained weights, where a run keeps them."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); like Ctrl-C, it is no `Exception`, so that sweeps stop too."""


class Record:
    """The open folder of one run; tasks write through it."""

    def __init__(self, folder: Path, tracker: Tracker) -> None:
        self.folder = folder
        self.tracker = tracker
        self.hashes: dict[str, str] = {}
        self.device = ""
        self.computed: dict[str, Any] = {}
        """How it was computed, as far as that is no part of what was computed."""
        self._history = (folder / HISTORY).open("a", encoding="utf-8")

    def history(self, **values: Any) -> None:
        """Append one line to history.jsonl, on disk before this returns to the operating system, and track it."""
        self._history.write(to_json(values) + "\n")
        self._history.flush()
        self.tracker.log(values)

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run in one step; returns its path."""
        return write_atomically(self.folder / name, text)

    def close(self) -> None:
        self._history.close()


Task = Callable[[Any, Record], dict[str, Any]]


def write_atomically(path: Path, text: str) -> Path:
    with in_one_step(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def folder_of(config: Run) -> Path:
    return Path(config.out) / config.name / fingerprint(config)


def keep(
    config: Run, task: Task, *, changes: dict[str, Any], tracker: Tracker, choices: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], bool]:
    """Run `task` and keep what it leaves; a finished run of the same fingerprint is not repeated.

    `changes`: what is otherwise than published; `choices`: what was typed, by group or key, where that is known.

    Returns the result and whether it was reused. On failure and interruption the result is written too, and the
    exception goes on.

    Raises:
        RuntimeError: another process is writing this run.
    """
    from filelock import FileLock, Timeout

    folder = folder_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = config.inputs()
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f"another process is writing {folder}; wait for it, or change something of the run"
        ) from None
    try:
        finished = _finished(folder, inputs) if config.reusable and not config.force else None
        if finished is not None:
            return finished, True
        _put_aside(folder, keep_copy=config.reusable)
        said = {"changes": changes, "choices": dict(choices or {})}
        return _execute(config, task, folder, inputs, said, tracker), False
    finally:
        lock.release()


def _finished(folder: Path, inputs: dict[str, str]) -> dict[str, Any] | None:
    result = read_result(folder)
    if result is None or result["status"] != "done":
        return None
    for name, value in inputs.items():
        if (then := result["hashes"].get(name)) != value:
            log.warning("%s is done, but its %s have changed (%s, now %s): running it again", folder, name, then, value)
            return None
    return result


def _put_aside(folder: Path, *, keep_copy: bool) -> None:
    """Move what an earlier run left here to `previous/<time>`: nothing a run has produced is lost."""
    left = [path for path in folder.iterdir() if path.name not in (PREVIOUS, ".lock")]
    if not keep_copy or not left:
        return
    stamp = datetime.fromtimestamp(max(path.stat().st_mtime for path in left), UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = folder / PREVIOUS / stamp
    aside.mkdir(parents=True)
    for path in left:
        path.rename(aside / path.name)


def _execute(
    config: Run, task: Task, folder: Path, inputs: dict[str, str], said: dict[str, Any], tracker: Tracker
) -> dict[str, Any]:
    write_atomically(folder / CONFIG, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))
    started, clock = datetime.now(UTC), time.perf_counter()
    record = Record(folder, tracker)
    record.hashes.update(inputs)
    metrics: dict[str, Any] = {}
    status, error = "failed", ""
    environment.start_memory_peak()
    with _logging_to(folder / LOG), _terminable():
        try:
            tracker.start(config, folder)
            metrics = task(config, record)
            status = "done"
        except KeyboardInterrupt as stop:
            status, error = "interrupted", str(stop) or "Ctrl-C"
            raise
        except BaseException as failure:
            error = f"{type(failure).__name__}: {failure}"
            log.debug("%s", traceback.format_exc())
            raise
        finally:
            seconds = time.perf_counter() - clock
            if status == "done":
                metrics["peak_memory_bytes"] = environment.memory_peak()
            result = {
                "name": config.name,
                "task": config.task,
                "status": status,
                "error": error,
                "fingerprint": fingerprint(config),
                "revision": config.revision,
                **said,
                "seed": config.seed,
                "metrics": plain(metrics),
                "claims": plain(config.claims),
                "no_effect": config.idle(),
                "seconds": round(seconds, 3),
                "started": started.isoformat(timespec="seconds"),
                "versions": environment.versions(),
                "git": environment.git(),
                "hashes": record.hashes,
                "device": record.device,
                "computed": record.computed,
                "signature": signature(config, record),
            }
            record.close()
            write_atomically(folder / RESULT, to_json(result, indent=1) + "\n")
            tracker.finish(metrics, status)
    return result


def signature(config: Run, record: Record) -> str:
    """One line that says which run a number comes from: what it is, its fingerprint, data, weights, device, version."""
    parts = [config.name, f"seed={config.seed}", f"run={fingerprint(config)}"]
    parts += [f"{name}={value[:8]}" for name, value in sorted(record.hashes.items())]
    parts += [record.device.split(" ")[0] or "cpu", f"scratchlab={environment.versions()['scratchlab']}"]
    return "|".join(parts)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("scratchlab")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that a scheduler's request to end leaves a record."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result in a run's folder; None if the run never came to an end."""
    path = folder / RESULT
    if not path.is_file():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    result["metrics"] = with_numbers(result.get("metrics") or {})
    return result


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's history; a last line cut short by a kill is left out."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [with_numbers(json.loads(line)) for line in lines[:-1]]


def folders(out: Path | str, select: str = "*") -> list[Path]:
    """Folders of the runs below `out` whose names match one of the comma-separated globs, in order of name."""
    every = Path(out).glob(f"*/*/{CONFIG}")
    return sorted(path.parent for path in every if matches(path.parent.parent.name, select))


def read(out: Path | str, select: str = "*") -> "pd.DataFrame":
    """One row a run that came to an end: result fields, `metrics.*`, `config.*` and `folder`.

    Nested result fields get dotted names; lists stay lists.
    """
    import pandas as pd

    rows = []
    for folder in folders(out, select):
        result = read_result(folder)
        if result is None:
            continue
        config = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), Loader=LOADER)
        rows.append(
            {"folder": str(folder)}
            | dotted(result, keep=("claims", "changes", "choices", "no_effect"))
            | dotted({"config": config}, keep=("config.claims",))
        )
    return pd.DataFrame(rows)
