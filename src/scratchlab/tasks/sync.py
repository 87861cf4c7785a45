"""Hold what W&B has of finished runs against their records, and send it what it lacks."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading
from scratchlab.runs.config import TrackingConfig, TrackingMode

if TYPE_CHECKING:
    from scratchlab.evidence.runs import RunRecord
    from scratchlab.runs.record import Record
    from scratchlab.runs.tracking import State

log = logging.getLogger(__name__)

EVERY, SILENT = "*", "W&B could not be asked"


@dataclass(kw_only=True)
class Sync(Reading):
    """`tracking` says where to: what is given here goes before what a record says."""

    task: ClassVar[str] = "sync"
    tracked: ClassVar[bool] = False

    select: str = EVERY
    """Globs over the names of runs, comma-separated; all: those that were tracked. A name takes others too."""
    verify: bool = False
    """Send nothing; only say whether both sides agree."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tracking.mode is TrackingMode.none:
            raise ValueError(
                "tracking.mode=none: here it says where W&B has the runs; possible: auto, online, offline (and "
                "verify=true, which sends nothing)"
            )

    def exit_code(self, metrics: dict[str, Any]) -> int:
        return 1 if metrics["differences"] else 0


@dataclass(frozen=True)
class Side:
    """A record, and what W&B has of it."""

    run: "RunRecord"
    state: "State"
    differences: list[str]
    sent: bool

    @property
    def cells(self) -> list[str]:
        so = "; ".join(self.differences) or ("sent, both sides agree" if self.sent else "both sides agree")
        return [self.run.name, str(self.run.seed), self.state.id, self.state.mode, so]


def sync(config: Sync, record: "Record") -> dict[str, Any]:
    from scratchlab.report import formats, terminal

    columns = ["run", "seed", "id", "W&B", "so"]
    sides = list(both_sides(config))
    cells = [side.cells for side in sides]
    data = [
        dict(zip(columns, line, strict=True)) | {"place": side.state.place, "folder": str(side.run.folder)}
        for side, line in zip(sides, cells, strict=True)
    ]
    formats.write(record, "sync", data, columns, cells, title="Records and what W&B has of them")
    terminal.show("Records and what W&B has of them", columns, cells)
    differing = sum(bool(side.differences) for side in sides)
    terminal.say(f"{len(sides) - differing} of {len(sides)} runs agree on both sides")
    return {"runs": len(sides), "differences": differing}


def both_sides(config: Sync) -> Iterator[Side]:
    """Each chosen record beside W&B, brought to agree unless it is only asked whether they do.

    Raises:
        ValueError: no run that came to an end is chosen.
    """
    from scratchlab.evidence.runs import read_runs
    from scratchlab.runs.tracking import MIRROR_LOCK

    every = read_runs(config.out, config.select, config.seed_numbers)
    ended = [run for run in every if run.status in ("done", "failed", "interrupted")]
    chosen = [run for run in ended if config.select != EVERY or run.config.get("tracking.mode", "none") != "none"]
    if not chosen:
        raise ValueError(
            f"out={config.out} select={config.select}: no finished run that was tracked; found: {len(every)} runs, "
            f"{len(ended)} of them finished; possible: select=NAME, which also takes runs that were not tracked"
        )
    silent: list[str] = []
    for run in chosen:
        with _free(run.folder / MIRROR_LOCK):
            state = where_to(config.tracking, run)
        side = Side(run, state, silent, sent=False) if silent else _agreed(run, state, verify=config.verify)
        silent = [line for line in side.differences if line.startswith(SILENT)]  # each would wait as long again
        yield side


def _free(lock: Path) -> Any:
    """Wait for a process that still tells W&B of this run by itself."""
    from filelock import FileLock

    from scratchlab.runs.tracking import LEFT_ALONE

    return FileLock(lock, timeout=LEFT_ALONE + 10)


def where_to(asked: TrackingConfig, run: "RunRecord") -> "State":
    """Where W&B has a run, or is to have it: as asked for now, else as its record says."""
    from scratchlab.runs import tracking

    known = tracking.read_state(run.folder)
    own = TrackingConfig(
        **{key: run.config.get(f"tracking.{key}", value) for key, value in vars(TrackingConfig()).items()}
    )
    given = {key: value for key, value in vars(asked).items() if value != getattr(TrackingConfig(), key)}
    wanted = tracking.state_of(
        replace(own, **given),
        id=known.id if known else run.fingerprint,
        group=known.group if known else run.name,
        task=run.task,
    )
    same = known is not None and (known.mode, known.project, known.entity) == (
        wanted.mode,
        wanted.project,
        wanted.entity,
    )
    return replace(wanted, status=run.status, place=known.place if known and same else "")


def _agreed(run: "RunRecord", state: "State", *, verify: bool) -> Side:
    from scratchlab.evidence.spoken import verdicts
    from scratchlab.launch.published import Compositions
    from scratchlab.runs import replica

    found = looked_up(run.folder, state)
    if not found or verify or any(line.startswith(SILENT) for line in found):
        return Side(run, state, found, sent=False)
    said = verdicts(run.folder.parents[1], run.name, Compositions())
    if replica.contradicts(found):
        state = elsewhere(state)
    state, left = sent(run, state, said)
    if state.mode == "online" and replica.misses_rows(left):  # W&B takes none before those that it has
        state, left = sent(run, elsewhere(state), said)
    return Side(run, state, left, sent=True)


def elsewhere(state: "State") -> "State":
    """The next run at W&B, as rows that it has cannot be changed; an offline run is written anew."""
    from scratchlab.runs.tracking import another

    return replace(state, id=another(state.id)) if state.mode == "online" else state


def sent(run: "RunRecord", state: "State", said: dict[str, str]) -> "tuple[State, list[str]]":
    """Have W&B told, and look what it still lacks."""
    from scratchlab.runs import tracking

    state = tracking.replay(run.folder, state, run.status, said)
    if not state.complete:
        return state, [f"{', '.join(state.missed)} ({state.why or 'no reason is known'})"]
    return state, looked_up(run.folder, state)


def looked_up(folder: Path, state: "State") -> list[str]:
    """What the two sides do not have alike; that W&B cannot be asked is one such thing."""
    from scratchlab.runs import replica

    try:
        return replica.differences(folder, replica.of(folder, state))
    except Exception as error:  # a server may fail in any way
        return [f"{SILENT} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"]
