"""Move what an earlier attempt left to `previous/<time>`: nothing that a run has produced is lost."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

PREVIOUS = "previous"
LOCK = ".lock"
STATE = "checkpoint/training.pt"
"""Where a training stands; gone once the run has its result, and not before: a kill until then costs minutes."""
_MOVING = ".moving"
"""Where files gather until all are there: a kill half way leaves them to be joined by the rest."""
_FORMAT = "%Y%m%dT%H%M%S.%f"


def put_aside(folder: Path, *, first: Iterable[str]) -> None:
    """Move all files of a run's folder to one below `previous/`, named by time, after those that were put there before.

    `first`: names of the files that make the folder a finished run, which must not outlive the rest.
    """
    gathering = folder / PREVIOUS / _MOVING
    first = list(first)
    left = sorted(
        (path for path in folder.iterdir() if path.name not in (PREVIOUS, LOCK)),
        key=lambda path: (path.name not in first, path.name),
    )
    if not left and not gathering.is_dir():
        return
    gathering.mkdir(parents=True, exist_ok=True)
    for path in left:
        path.rename(gathering / path.name)
    files = list(gathering.iterdir())
    if files:
        gathering.rename(folder / PREVIOUS / _stamp(folder / PREVIOUS, files))


def drop_state(folder: Path) -> None:
    """The run is done: nothing is left to go on with."""
    with contextlib.suppress(OSError):  # it would be no more than in the way
        (folder / STATE).unlink(missing_ok=True)


def earlier(folder: Path) -> list[Path]:
    """What earlier attempts left, the last first."""
    aside = folder / PREVIOUS
    if not aside.is_dir():
        return []
    return sorted((path for path in aside.iterdir() if path.is_dir() and path.name != _MOVING), reverse=True)


def _stamp(aside: Path, files: list[Path]) -> str:
    """When the last of these files was written, or just after the attempt before: the names stand in order of time."""
    when = datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC)
    for path in aside.iterdir():
        try:
            before = datetime.strptime(path.name, _FORMAT).replace(tzinfo=UTC)
        except ValueError:
            continue
        when = max(when, before + timedelta(microseconds=1))
    return when.strftime(_FORMAT)
