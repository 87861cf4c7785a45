"""A run's folder: written whatever happens, read back by the thousand.

`outputs/<name>/<fingerprint>/` holds config.yaml, history.jsonl, log.txt, result.json and the task's own files. The
result is written last, in one step, so that a folder with a result is a run that came to an end, and one without
was killed.
"""

import contextlib
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from scratchlab.files import to_json, with_numbers
from scratchlab.files import write_atomically as write_atomically  # offered here too
from scratchlab.matching import matches
from scratchlab.runs import environment
from scratchlab.runs.aside import LOCK, drop_state, put_aside
from scratchlab.runs.checks import check
from scratchlab.runs.config import Run
from scratchlab.runs.identity import fingerprint, flatten, plain
from scratchlab.runs.logs import logging_to
from scratchlab.runs.signals import ending_once
from scratchlab.runs.tracking import Tracker

log = logging.getLogger(__name__)

RESULT, CONFIG, HISTORY, LOG = "result.json", "config.yaml", "history.jsonl", "log.txt"
MODEL = "checkpoint/model.safetensors"
"""The trained weights, where a run keeps them."""
TRAINED = "checkpoint/trained.json"
"""What training measured and on what; written after the weights."""


class Record:
    """The open folder of one run; tasks write through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hashes: dict[str, str] = {}
        self.device = ""
        self.computed: dict[str, Any] = {}
        """How it was computed, as far as that is no part of what was computed; see `environment.threads`."""
        self._history = (folder / HISTORY).open("a", encoding="utf-8")

    def history(self, **values: Any) -> None:
        """Append one line to history.jsonl, on disk before this returns to the operating system."""
        try:
            self._history.write(to_json(values) + "\n")
            self._history.flush()
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self.folder / HISTORY)) from error

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run in one step; returns its path."""
        return write_atomically(self.folder / name, text)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a line that could not be written, which was told then
            self._history.close()


Task = Callable[[Any, Record], dict[str, Any]]


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
    check(flatten(config))
    folder = folder_of(config)
    inputs = config.inputs()
    with _locked(config.out, folder):
        finished = finished_result(config, folder, inputs) if config.reusable and not config.force else None
        if finished is not None:
            drop_state(folder)
            return finished, True
        put_aside(folder, first=(RESULT,))  # of a run that is done anew each time, too
        said = {"changes": changes, "choices": dict(choices or {})}
        return _execute(config, task, folder, inputs, said, tracker), False


@contextlib.contextmanager
def _locked(out: str, folder: Path) -> Iterator[None]:
    """Make a run's folder, and be the only one who writes there."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(f"another process is writing {folder}; wait for it, or change the run") from None
    except OSError as error:
        raise OSError(
            f"out={out}: {folder} cannot be written ({error.strerror or error}); possible: out=FOLDER, one that can"
        ) from error
    try:
        yield
    finally:
        lock.release()


def finished_result(config: Run, folder: Path, inputs: dict[str, str]) -> dict[str, Any] | None:
    """The result of this very run, if it is done and whole, of the same data."""
    result = result_or_warning(folder)
    if result is None or result.get("status") != "done":
        return None
    if lacking := [key for key, kind in _WHOLE.items() if not isinstance(result.get(key), kind)]:
        log.warning("%s lacks %s: running it again", folder / RESULT, ", ".join(lacking))
        return None
    if result["fingerprint"] != fingerprint(config):
        log.warning("%s is of another run (%s): running this one", folder / RESULT, result["fingerprint"])
        return None
    for name, value in inputs.items():
        if (then := result["hashes"].get(name)) != value:
            log.warning("%s is done, but its %s have changed (%s, now %s): running it again", folder, name, then, value)
            return None
    return result


_WHOLE = {"name": str, "task": str, "fingerprint": str, "metrics": dict, "hashes": dict, "started": str}
"""What the result of a finished run holds at least."""


def _execute(
    config: Run, task: Task, folder: Path, inputs: dict[str, str], said: dict[str, Any], tracker: Tracker
) -> dict[str, Any]:
    write_atomically(folder / CONFIG, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))
    started, clock = datetime.now(UTC), time.perf_counter()
    record = Record(folder)
    record.hashes.update(inputs)
    metrics: dict[str, Any] = {}
    status, error = "failed", ""
    environment.start_memory_peak()
    with logging_to(folder / LOG), ending_once() as ending:
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
            ending.begun = True
            if status == "done":
                metrics["peak_memory_bytes"] = environment.memory_peak()
            result = _result(config, record, status, error, said, metrics) | {
                "seconds": round(time.perf_counter() - clock, 3),
                "started": started.isoformat(timespec="milliseconds"),
            }
            record.close()
            _write_result(folder, result)
            ending.recorded = True
            tracker.finish(status)
    drop_state(folder)
    return result


def _result(
    config: Run, record: Record, status: str, error: str, said: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """All that result.json says, its times apart."""
    threads = environment.threads()
    return {
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
        "versions": environment.versions(),
        "git": environment.git(),
        "hashes": record.hashes,
        "device": record.device,
        "computed": ({} if threads is None else {"threads": threads}) | record.computed,
        "signature": signature(config, record),
    }


def _write_result(folder: Path, result: dict[str, Any]) -> None:
    try:
        write_atomically(folder / RESULT, to_json(result, indent=1) + "\n")
    except OSError as failure:
        if result["status"] == "done":
            raise
        # what ended the run goes on, and is told
        log.error("%s could not be written (%s): the run leaves no result", folder / RESULT, failure)


def signature(config: Run, record: Record) -> str:
    """One line that says which run a number comes from: what it is, its fingerprint, data, weights, device, version."""
    parts = [config.name, f"seed={config.seed}", f"run={fingerprint(config)}"]
    parts += [f"{name}={value[:8]}" for name, value in sorted(record.hashes.items())]
    parts += [record.device.split(" ")[0] or "cpu", f"scratchlab={environment.versions()['scratchlab']}"]
    return "|".join(parts)


def read_result(folder: Path | str) -> dict[str, Any] | None:
    """The result in a run's folder; None if the run never came to an end.

    Raises:
        ValueError: the file is damaged; names it.
    """
    path = Path(folder) / RESULT
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error or type(error).__name__}") from None
    if not isinstance(result, dict) or not isinstance(result.get("metrics") or {}, dict):
        raise ValueError(f"{path} is damaged: it holds no result, a mapping with metrics")
    result["metrics"] = with_numbers(result.get("metrics") or {})
    return result


def result_or_warning(folder: Path) -> dict[str, Any] | None:
    """The same for who can do without it: a damaged result counts as none, and the file is named in a warning."""
    try:
        return read_result(folder)
    except ValueError as error:
        log.warning("%s; it counts as not done", error)
        return None


def trained_as(folder: Path) -> str | None:
    """The fingerprint of the training whose model a folder keeps; None where it keeps none."""
    try:
        found = json.loads((folder / TRAINED).read_text(encoding="utf-8"))["training"]
    except (OSError, ValueError, KeyError, TypeError):  # what is damaged is told where it is to be used
        return None
    return found if isinstance(found, str) else None


def read_history(folder: Path | str) -> list[dict[str, Any]]:
    """The lines of a run's history; a last line cut short by a kill is left out, a damaged one too, with a warning."""
    path = Path(folder) / HISTORY
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found, damaged = [], []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            found.append(with_numbers(json.loads(line)))
        except (ValueError, AttributeError, TypeError):
            damaged.append(number)
    if damaged:
        log.warning("%s: %d damaged lines are left out, the first is line %d", path, len(damaged), damaged[0])
    return found


def folders(out: Path | str, select: str = "*") -> list[Path]:
    """Folders of the runs below `out` whose names match one of the comma-separated globs, in order of name."""
    names = (path for path in Path(out).glob("*/") if matches(path.name, select))
    return sorted(path.parent for name in names for path in name.glob(f"*/{CONFIG}"))
