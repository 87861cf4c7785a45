"""Weights & Biases as a replica: the record is the truth, and a process of its own tells W&B what stands there.

A run starts that process (`runs/mirror.py`) and goes on. Nothing that W&B does, or fails to do, is waited for but a
few seconds at the end. What W&B has got stands in the record, in tracking.json.
"""

import json
import logging
import netrc
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from scratchlab.files import as_json, read_json, write_atomically
from scratchlab.runs.aside import earlier
from scratchlab.runs.config import Run, TrackingConfig, TrackingMode
from scratchlab.runs.identity import fingerprint

log = logging.getLogger(__name__)

STATE = "tracking.json"
MIRROR_LOCK = ".tracking.lock"
"""Held by the process that tells W&B, as long as it lives."""
PATIENCE = 4.0
"""Seconds that a run, when it is over, waits for W&B to have everything."""
LEFT_ALONE = 120.0
"""Seconds after the run's end in which the rest is sent, with nobody waiting; then it is given up."""

Verdicts = Callable[[], Mapping[str, str]]
"""By claim, what is said of it now; asked when the record is written."""


@dataclass(kw_only=True)
class State:
    """What tracking.json says: where W&B has this run, and what it lacks of it."""

    mode: str
    id: str
    project: str
    entity: str = ""
    group: str = ""
    task: str = ""
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    attempt: str = ""
    """Which start of the run this is about; a process of an earlier one writes no more."""
    status: str = ""
    """How the run ended; empty until then."""
    place: str = ""
    """The file of an offline run, or the address of an online one; empty if W&B never took it up."""
    complete: bool | None = None
    """Whether W&B has everything; None: it is being told, or whoever told it was killed."""
    missed: list[str] = field(default_factory=list)
    why: str = ""

    def write(self, folder: Path) -> None:
        write_atomically(folder / STATE, as_json(asdict(self)))


def read_state(folder: Path) -> State | None:
    """What a record says of its tracking; None where it says nothing that can be read."""
    try:
        found = read_json(folder / STATE)
        return State(**{part.name: found[part.name] for part in fields(State) if part.name in found})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s is damaged (%s): what W&B has is looked up anew", folder / STATE, error)
        return None


class Tracker:
    """Has a run mirrored to W&B while it goes on."""

    def __init__(self, config: TrackingConfig, *, sweep: str = "", verdicts: Verdicts | None = None) -> None:
        self.config = config
        self._sweep, self._verdicts = sweep, verdicts
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, config: Run, folder: Path) -> None:
        """From now on, W&B is told what `folder` says."""
        if self.config.mode is TrackingMode.none:
            return
        id, group = continued(config, folder), self._sweep or config.name
        self._folder = folder
        self._process = begin(folder, state_of(self.config, id=id, group=group, task=config.task))

    def finish(self, status: str) -> None:
        """The record is written: wait a moment until W&B has it, and say what it lacks."""
        if self._process is None:
            return
        process, self._process = self._process, None
        hand_over(process, status, self._spoken())
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            log.info("W&B is still being told, with nobody waiting; %s will say what it has", self._folder / STATE)
            return
        say(self._folder, settled(self._folder, process.returncode))

    def _spoken(self) -> Mapping[str, str]:
        if self._verdicts is None:
            return {}
        try:
            return self._verdicts()
        except Exception as error:  # they are read from other records, which may be in any state
            log.warning("W&B is not told the verdicts: %s: %s", type(error).__name__, error)
            return {}


def replay(folder: Path, state: State, status: str, verdicts: Mapping[str, str]) -> State:
    """Tell W&B of a finished record what it lacks, and wait for that; what the record then says."""
    process = begin(folder, state)
    if process is not None:
        hand_over(process, status, verdicts)
        process.wait()
        return settled(folder, process.returncode)
    return read_state(folder) or state


def begin(folder: Path, state: State) -> "subprocess.Popen[bytes] | None":
    """Start the process that tells W&B; None, with a warning, where none can be started."""
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-m", "scratchlab.runs.mirror", str(folder.resolve()), state.attempt]
    nowhere = subprocess.DEVNULL
    try:
        state.write(folder)
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, env=environment, start_new_session=True
        )
    except OSError as error:
        log.warning("W&B is not told: %s; the run goes on untracked", error)
        return None


def hand_over(process: "subprocess.Popen[bytes]", status: str, verdicts: Mapping[str, str]) -> None:
    """Say that the record is complete; a process that has ended before has said itself why."""
    said = json.dumps({"status": status, "verdicts": dict(verdicts)}).encode()
    assert process.stdin is not None
    try:
        process.stdin.write(said)
        process.stdin.close()
    except OSError as error:
        log.debug("the process that tells W&B has ended: %s", error)


def settled(folder: Path, code: int) -> State:
    """What was said at the end; where the process was ended before it said something, that."""
    state = read_state(folder) or State(mode="", id="", project="")
    if state.complete is None:
        why = f"the process that tells W&B ended with code {code}"
        state = replace(state, complete=False, missed=["everything that is not confirmed"], why=why)
        state.write(folder)
    return state


def say(folder: Path, state: State) -> None:
    if state.complete:
        log.info("W&B has the run: %s", state.place)
        return
    log.warning(
        "W&B lacks %s (%s); the record is complete, and replayed by: scratchlab task=sync out=%s select=%s",
        ", ".join(state.missed),
        state.why or "no reason is known",
        folder.parents[1],
        folder.parent.name,
    )


def state_of(config: TrackingConfig, *, id: str, group: str, task: str) -> State:
    mode = config.mode
    if mode is TrackingMode.auto:
        mode = TrackingMode.online if logged_in() else TrackingMode.offline
    return State(
        mode=mode.name,
        id=id,
        project=config.project,
        entity=config.entity,
        group=config.group or group,
        task=task,
        tags=list(config.tags),
        notes=config.notes,
        attempt=uuid.uuid4().hex,
    )


def continued(config: Run, folder: Path) -> str:
    """The W&B run that this one continues, or its own, called by the fingerprint; repetitions are numbered."""
    for before in earlier(folder):
        if (state := read_state(before)) is not None:
            return another(state.id) if state.status == "done" else state.id
    return fingerprint(config)


def another(id: str) -> str:
    """A W&B run never forgets a row, so what is repeated needs one of its own."""
    base, _, number = id.partition("-")
    return f"{base}-{int(number or 1) + 1}"


def logged_in() -> bool:
    """Whether W&B would find an API key without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        known = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in known)
