"""The process that tells W&B what a record says, while it is written and when it is complete.

It reads the folder and nothing else of the run, so that the run never waits for it. `python -m scratchlab.runs.mirror
FOLDER ATTEMPT` is started by the tracker; standard input ends when the run does.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from scratchlab.files import read_yaml
from scratchlab.runs import replica
from scratchlab.runs.record import CONFIG, HISTORY, read_history, read_result
from scratchlab.runs.tracking import LEFT_ALONE, MIRROR_LOCK, STATE, State, read_state

if TYPE_CHECKING:
    import wandb

INTERVAL, SHARE = 0.5, 0.02
"""Seconds between two looks at the history, and the most of all time that is spent on them."""
LARGEST = 32 * 2**20
"""Bytes of a file that goes into the artifact; models stay where they are."""
_AXES = ("step", "epoch", "tokens_seen")


class Mirror:
    """One attempt at a run, told to W&B; what W&B did not get is kept in `state`."""

    def __init__(self, folder: Path, state: State) -> None:
        self.folder, self.state = folder, state
        self.run: wandb.Run | None = None
        self.sent = 0
        """Lines of the history that W&B was told, or knew before."""
        self.over = threading.Event()
        self.said: dict[str, Any] = {}
        """Of the run, when it is over: its status, and verdicts."""
        self._axes: set[str] = set()
        self._confirmed = False
        """Whether W&B has said that it is through with what it was told."""
        self._settling = threading.Lock()

    def tell(self) -> None:
        """Everything, until the run is over and W&B has it, or until W&B fails."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._open()
            self._follow()
            self._complete()
        except Exception as error:  # whatever W&B does, the record says so
            self._failed(error)
            self.over.wait()
        self.settle()

    def _listen(self) -> None:
        text = sys.stdin.read()
        self.said = json.loads(text) if text else {}  # a run that was killed says nothing
        self.over.set()
        time.sleep(LEFT_ALONE)
        self.state.why = self.state.why or f"it had not everything {LEFT_ALONE:.0f} s after the end of the run"
        self.settle(given_up=True)

    def _open(self) -> None:
        import wandb

        place = Path(os.environ.get("WANDB_DIR") or self.folder)
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as probe:  # W&B would go elsewhere without a word
            probe.write(bytes(4096))
        config = read_yaml(self.folder / CONFIG)
        online = self.state.mode == "online"
        self.run = wandb.init(
            entity=self.state.entity or None,
            project=self.state.project,
            group=self.state.group,
            job_type=self.state.task,
            name=f"{config['name']}-seed{config['seed']}",
            notes=self.state.notes or None,
            id=self.state.id,
            tags=self.state.tags,
            config=config,
            dir=place,
            mode="online" if online else "offline",
            resume="allow" if online else None,
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, init_timeout=20),
        )
        if online:
            self.state.place = self.run.url or ""
            self.sent = self.run.starting_step  # rows below it are there, and would be dropped
        else:
            written = Path(self.run.settings.sync_file)
            self.state.place = str(written.relative_to(self.folder) if written.is_relative_to(self.folder) else written)
        self._write()

    def _follow(self) -> None:
        size = -1
        path = self.folder / HISTORY
        while True:
            last = self.over.is_set()  # before reading: nothing is written after it
            began = time.monotonic()
            if path.is_file() and (now := path.stat().st_size) != size:
                size = now
                for row in read_history(self.folder)[self.sent :]:
                    self._log(row)
            if last:
                return
            self.over.wait(max(INTERVAL, (time.monotonic() - began) / SHARE))

    def _log(self, row: dict[str, Any]) -> None:
        assert self.run is not None
        axis = next((name for name in _AXES if name in row), None)
        for name in row:
            if name not in self._axes:
                self._axes.add(name)
                self.run.define_metric(name, step_metric=None if name in _AXES else axis)
        self.run.log(row, step=self.sent, commit=True)
        self.sent += 1

    def _complete(self) -> None:
        """The summary, tables, plots and the record itself; each is tried, whatever became of the others."""
        import wandb

        assert self.run is not None
        run, done = self.run, self.said.get("status") == "done"
        parts: dict[str, Callable[[], None]] = {
            "the summary": self._summary,
            "tables and plots": self._tables_and_plots,
            "the artifact": self._artifact,
        }
        for name, part in parts.items() if self.said else ():
            try:
                part()
            except Exception as error:
                self._failed(error)
                self.state.missed.append(name)
        run.finish(exit_code=0 if done else 1)
        wandb.teardown()  # the file is closed when W&B's service has ended, and not before
        self._confirmed = True

    def _summary(self) -> None:
        assert self.run is not None
        result = read_result(self.folder) or {"metrics": {}}
        said = {"status": self.said["status"], "signature": result.get("signature", "")}
        verdicts = {"verdict": self.said["verdicts"]} if self.said["verdicts"] else {}
        self.run.summary.update(result["metrics"] | said | verdicts)

    def _tables_and_plots(self) -> None:
        import pandas as pd
        import wandb

        assert self.run is not None
        for name, path in replica.media(self.folder).items():
            table = path.suffix == ".csv"
            found = (
                wandb.Table(dataframe=pd.read_csv(path), allow_mixed_types=True) if table else wandb.Image(str(path))
            )
            self.run.summary.update({name: found})  # not a row: it would be one more after each start

    def _artifact(self) -> None:
        import wandb

        assert self.run is not None
        artifact = wandb.Artifact(f"record-{self.state.id}", type="record")
        for path in sorted(self.folder.iterdir()):
            if (
                path.is_file()
                and not path.name.startswith(".")
                and path.name != STATE
                and path.stat().st_size < LARGEST
            ):
                artifact.add_file(str(path))
        self.run.log_artifact(artifact)

    def _failed(self, error: Exception) -> None:
        told = " ".join(str(error).split())[:300]
        self.state.why = self.state.why or f"{type(error).__name__}: {told}"

    def settle(self, given_up: bool = False) -> None:
        """Say in the record what W&B has, and end."""
        with self._settling:
            self.state.status = self.said.get("status", "")
            self.state.missed = self._missed()
            self.state.complete = not self.state.missed
            self._write()
            if self.state.complete and self.state.mode == "offline":
                self._drop_earlier()
            os._exit(1 if given_up else 0)  # W&B's own end would wait for a server without end

    def _missed(self) -> list[str]:
        if self.state.mode == "offline" and self.state.place:  # a full disk is told to nobody
            try:
                return replica.differences(self.folder, replica.of(self.folder, self.state))
            except Exception as error:
                self._failed(error)
                return ["what could not be read back"]
        if self._confirmed:
            return self.state.missed
        rows = len(read_history(self.folder))
        lacking = [f"rows {self.sent + 1} to {rows} of {rows}"] if self.sent < rows else []
        return [*lacking, *self.state.missed, "what it has not confirmed"] if self.run else ["the whole run"]

    def _drop_earlier(self) -> None:
        """An offline run is whole in its file; what earlier attempts left beside it would be sent a second time."""
        own = Path(self.folder, self.state.place).parent
        for folder in own.parent.glob(f"offline-run-*-{self.state.id}"):
            if folder != own:
                shutil.rmtree(folder, ignore_errors=True)

    def _write(self) -> None:
        now = read_state(self.folder)
        if now is not None and now.attempt == self.state.attempt:
            self.state.write(self.folder)


def main() -> None:
    folder, attempt = Path(sys.argv[1]), sys.argv[2]
    with FileLock(folder / MIRROR_LOCK):
        state = read_state(folder)
        if state is not None and state.attempt == attempt:
            Mirror(folder, state).tell()


if __name__ == "__main__":
    main()
