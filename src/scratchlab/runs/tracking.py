"""Weights & Biases, and nothing else knows it: a tracker that fails is a warning, never a failed run."""

import logging
import netrc
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.runs.config import Run, TrackingConfig, TrackingMode
from scratchlab.runs.identity import fingerprint, plain

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)


class Tracker:
    """Mirrors a run to W&B; the record on disk stays the truth."""

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self._run: wandb.Run | None = None
        self._rows = 0

    def start(self, config: Run, folder: Path) -> None:
        """Open the W&B run of `config`; its local files lie below `folder`."""
        if self.config.mode is TrackingMode.none:
            return
        self._safely("start", lambda: self._open(config, folder))

    def _open(self, config: Run, folder: Path) -> None:
        import wandb

        mode = self.config.mode
        if mode is TrackingMode.auto:
            mode = TrackingMode.online if logged_in() else TrackingMode.offline
        self._run = wandb.init(
            project=self.config.project,
            group=self.config.group or config.name,
            name=f"{config.name}-seed{config.seed}",
            id=f"{config.name}-{fingerprint(config)}"[-64:],
            tags=self.config.tags,
            config=plain(config),
            dir=folder,
            mode="online" if mode is TrackingMode.online else "offline",
            resume="allow" if mode is TrackingMode.online else None,
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, init_timeout=30),
        )

    def log(self, values: dict[str, Any]) -> None:
        """Mirror one line of the history."""
        if self._run is None:
            return
        run, self._rows = self._run, self._rows + 1
        self._safely("log", lambda: run.log(values, step=self._rows))

    def finish(self, metrics: dict[str, Any], status: str) -> None:
        """Add the metrics as the run's summary and close it."""
        if self._run is None:
            return
        run, self._run = self._run, None
        self._safely("finish", lambda: run.summary.update({**plain(metrics), "status": status}))
        self._safely("finish", lambda: run.finish(exit_code=0 if status == "done" else 1))

    def _safely(self, what: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # whatever W&B does, the run goes on
            log.warning("W&B could not %s: %s: %s; the run goes on untracked", what, type(error).__name__, error)
            self._run = None


def logged_in() -> bool:
    """Whether W&B would find an API key without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        known = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in known)
