"""Go on where training was stopped, and train once what several runs share.

A run keeps the state of its training every few minutes and when it is asked to stop, and the trained model at the end.
The same command goes on from the last of them, to the same numbers. A run that differs only in what comes after
training, as in its judge, takes the trained model over from the run that has it.
"""

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scratchlab import processes
from scratchlab.evidence import index
from scratchlab.files import in_one_step
from scratchlab.model.state_files import load_checkpoint, save_state
from scratchlab.runs import aside, environment
from scratchlab.runs.aside import STATE as STATE  # offered here too
from scratchlab.runs.record import MODEL, TRAINED, Record, read_history, result_or_warning, write_atomically
from scratchlab.runs.signals import if_interrupted
from scratchlab.training import pace
from scratchlab.training.steps import Steps

log = logging.getLogger(__name__)


@dataclass
class Resume:
    """What a record keeps to go on from, and what it finds."""

    record: Record
    minutes: float
    """Of training, between two states; 0: none is kept."""
    start_over: bool = False
    """Find nothing: the run is to be repeated."""
    training: str = ""
    """Fingerprint of all that acts on training; runs that share it share the trained model."""
    files: tuple[str, ...] = ()
    """What training leaves beside the model and the history."""
    later: dict[str, str] = field(default_factory=dict)
    """Files written after training, each with the fingerprint of all that acts on it."""

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def save_model(self, model: nn.Module) -> None:
        """Keep a trained model, for task=chat and task=export."""
        save_state(model, self.record.folder / MODEL)

    def save(self, model: nn.Module, metrics: dict[str, Any]) -> None:
        """Keep a trained model and what its training measured, so that what comes after need not wait for it again."""
        self.save_model(model)
        if not processes.first():
            return
        content = {
            "metrics": metrics,
            "training": self.training,
            "later": self.later,
            "made_with": self._made_with(),
            "threads": self.record.computed.get("training_threads", environment.threads()),
        }
        write_atomically(self.record.folder / TRAINED, json.dumps(content))
        if_interrupted(None)

    def trained(self, model: nn.Module) -> dict[str, Any] | None:
        """Load what this run had trained before it was stopped, or what another run trained in the same way.

        Returns what training measured; None if there is no such run, or its data, starting weights, device or library
        versions were others.
        """
        found = self._trained(model) if processes.first() else None
        found, folder = processes.agree((found, str(self.record.folder)))
        if found is not None and not processes.first():
            load_checkpoint(model, Path(folder) / MODEL, diverged=True)
        return found

    def _trained(self, model: nn.Module) -> dict[str, Any] | None:
        if self.start_over:
            return None
        others = index.of_training(self.record.folder.parents[1], self.training)
        beside = sorted(folder for folder in others if folder != self.record.folder)
        for before, own in [*((path, True) for path in self._stopped()), *((path, False) for path in beside)]:
            if not (before / TRAINED).is_file() or not (before / MODEL).is_file():
                continue
            found = _read_trained(before / TRAINED)
            if found is None or (found["training"], found["made_with"]) != (self.training, self._made_with()):
                continue
            try:
                load_checkpoint(model, before / MODEL, diverged=True)
            except ValueError as error:
                log.warning("the trained model there cannot be used, and is trained again: %s", error)
                continue
            log.info("%s has trained this: going on from there", before)
            if own:
                self._begun_with(found.get("threads"))
            elif found.get("threads") != environment.threads():
                self.record.computed["training_threads"] = found.get("threads")
            after = [name for name, of in self.later.items() if found["later"].get(name) == of]
            self._bring((MODEL, *self.files, *after), before)
            self._copy_history(before)
            # last, and nothing was taken away from there: a kill until here leaves it to be found again
            write_atomically(self.record.folder / TRAINED, json.dumps(found | {"later": self.later}))
            return found["metrics"] | ({} if own else {"trained_in": f"{before.parent.name}/{before.name}"})
        return None

    def go_on(self, steps: Steps) -> dict[str, Any] | None:
        """Bring `steps` to where the training of this run stood when it was last kept.

        Returns the notes that were kept with it; None if there is nothing to go on from. Several processes go on from
        what the first finds, whatever their number was before.
        """
        notes = self._go_on(steps) if processes.first() else None
        notes, folder, threads = processes.agree((notes, str(self.record.folder), environment.threads()))
        if notes is not None and not processes.first():
            torch.set_num_threads(threads or 1)
            steps.load(torch.load(Path(folder) / STATE, weights_only=True, map_location="cpu")["steps"])
        return notes

    def _go_on(self, steps: Steps) -> dict[str, Any] | None:
        for before in self._stopped():
            if not (before / STATE).is_file():
                continue
            found = _read_state(before / STATE)
            if found is None:
                continue
            if found["made_with"] != self._made_with():
                log.warning("%s was stopped in training, but with other data, weights or versions", before)
                continue
            try:
                steps.load(found["steps"])
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s does not fit this training, which starts anew: %s", before / STATE, error)
                continue
            log.info("%s was stopped in training: going on after batch %d", before, steps.done - 1)
            self._begun_with(found.get("threads"))
            self._copy_history(before, lines=found["lines"])
            pace.copy(before, self.record.folder, batches=steps.done)
            (self.record.folder / STATE).parent.mkdir(parents=True, exist_ok=True)
            (before / STATE).rename(self.record.folder / STATE)
            return found["notes"]
        return None

    def keep(self, steps: Steps, notes: Any, now: bool = False) -> None:
        """Keep where training stands, with `notes` (a dataclass of JSON values), if the last time is long ago.

        `now`: in any case, because the run is about to be stopped.
        """
        due = now or processes.any_of(time.monotonic() - self._last >= 60 * self.minutes)
        if self.minutes and steps.complete and due:
            self._write(self._state(steps, notes))
            self._last = time.monotonic()

    def hold(self, steps: Steps, notes: Any) -> None:
        """Training is over: should the run be interrupted in what follows, its state is kept as it is now."""
        if self.minutes:
            state = self._state(steps, notes)
            if_interrupted(lambda: self._write(state))

    def _state(self, steps: Steps, notes: Any) -> dict[str, Any]:
        return {
            "steps": steps.state(),
            "notes": json.dumps(asdict(notes)),
            "lines": len(read_history(self.record.folder)),
            "made_with": json.dumps(self._made_with()),
            "threads": environment.threads(),
        }

    def _write(self, state: dict[str, Any]) -> None:
        if not processes.first():
            return
        path = self.record.folder / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with in_one_step(path) as unfinished:
                torch.save(state, unfinished)
        except (OSError, RuntimeError) as error:  # a full disk is no reason to lose the training as well
            log.warning("the state of training could not be kept (%s); a kill would cost all of it", error)

    def _stopped(self) -> Iterator[Path]:
        """What earlier attempts at this run left, the last first, back to one that came to its end."""
        if self.start_over:
            return
        for before in aside.earlier(self.record.folder):
            result = result_or_warning(before)
            if result is not None and result.get("status") == "done":
                return
            yield before

    def _begun_with(self, threads: int | None) -> None:
        """Compute with as many threads as the training began with: sums of floats depend on their number."""
        now = environment.threads()
        if threads is None:
            log.warning("how many threads this training began with is not known; it goes on with %s", now)
            self.record.computed["began_with_threads"] = "unknown"
        elif threads != now:
            log.info("going on with %d threads, as it began, not %s", threads, now)
            torch.set_num_threads(threads)
            self.record.device = re.sub(r"\d+ threads", f"{threads} threads", self.record.device)

    def _bring(self, names: tuple[str, ...], before: Path) -> None:
        for name in names:
            source, target = before / name, self.record.folder / name
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source, target) if name == MODEL else shutil.copyfile(source, target)

    def _copy_history(self, before: Path, lines: int | None = None) -> None:
        for line in read_history(before)[:lines]:
            self.record.history(**line)

    def _made_with(self) -> dict[str, Any]:
        device = re.sub(r" \d+ threads", "", self.record.device)  # their number changes no result, see the fingerprint
        return {"hashes": self.record.hashes, "versions": environment.versions(), "device": device}


def _read_state(path: Path) -> dict[str, Any] | None:
    """A kept state of training; None, with a warning, where the file is damaged."""
    try:
        found = torch.load(path, weights_only=True, map_location="cpu")
        for key, kind in (("steps", dict), ("notes", str), ("made_with", str), ("lines", int)):
            if not isinstance(found[key], kind):
                raise ValueError(f"its {key} is a {type(found[key]).__name__}")
        return found | {key: json.loads(found[key]) for key in ("notes", "made_with")}
    except Exception as error:  # what torch raises for a damaged file is any of a dozen types
        log.warning("%s is damaged (%s: %s): this state is lost", path, type(error).__name__, _first_line(error))
        return None


def _read_trained(path: Path) -> dict[str, Any] | None:
    """What a training measured and on what; None, with a warning, where the file is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for key, kind in (("metrics", dict), ("training", str), ("later", dict), ("made_with", dict)):
            if not isinstance(found[key], kind):
                raise ValueError(f"its {key} is a {type(found[key]).__name__}")
        return found
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s: %s): its model is not used", path, type(error).__name__, _first_line(error))
        return None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _link(source: Path, target: Path) -> None:
    """The same gigabytes under two names, where the file system can; nothing here writes into a file that is there."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
