"""The command: compose, check, run, record."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from scratchlab import record
from scratchlab.cli import arguments, help
from scratchlab.runs.config import Run
from scratchlab.runs.identity import changes
from scratchlab.runs.registry import TASKS
from scratchlab.tracking import Tracker

log = logging.getLogger("scratchlab")


def run(config: Run, reference: Run | None = None) -> dict[str, Any]:
    """Do one run, keep its record, and return its result; `reference` is what the experiment is as published."""
    task = TASKS[config.task].run
    if not config.recorded:
        return {"metrics": task(config, None)}
    for key, reason in config.idle().items():
        log.warning("%s has no effect: %s", key, reason)
    result, reused = record.keep(
        config, task, changes=changes(config, reference or config), tracker=Tracker(config.tracking)
    )
    folder = record.folder_of(config)
    if config.reusable:
        log.info("%s %s", "already done (force=true repeats it):" if reused else "done:", folder)
        for name, value in result["metrics"].items():
            log.info("  %s = %s", name, f"{value:.6g}" if isinstance(value, float) else _short(value))
    return result | {"folder": str(folder), "exit_code": config.exit_code(result["metrics"])}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} ... (all of it in {record.RESULT})"


class SweepTable(Callback):
    """Ends a sweep with a table of what differed between its runs."""

    def __init__(self) -> None:
        self.folders: list[Path] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if isinstance(job_return._return_value, dict) and "folder" in job_return._return_value:
            folder = Path(job_return._return_value["folder"])
            if folder not in self.folders:  # two jobs are one run where an override has no effect
                self.folders.append(folder)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from scratchlab.report import tables

        if len(self.folders) > 1:
            tables.show_sweep(self.folders)


class ExitCode(Callback):
    """Ends the command with the largest exit code of its runs, after all of them."""

    def __init__(self) -> None:
        self.worst = 0

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        returned = job_return._return_value
        if isinstance(returned, dict):
            self.worst = max(self.worst, returned.get("exit_code", 0))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.worst:
            sys.exit(self.worst)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.worst:
            sys.exit(self.worst)


def job(composed: DictConfig) -> dict[str, Any]:
    """Do the run that Hydra has composed."""
    from scratchlab import compose

    choices = compose.current_choices()
    return run(compose.typed(composed, choices["task"]), compose.reference(choices))


def main() -> None:
    """Run the command line; exit code 0 only if every run of it is done."""
    # Hydra prints its own, longer story about errors unless told to let them through
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    words = sys.argv[1:]
    try:
        if (page := help.page(words)) is not None:
            print(page)
            return
        sys.argv[1:] = words = arguments.prepare(words)
        from scratchlab import compose  # with Hydra, which help can do without

        compose.entry_point(job)()
    except KeyboardInterrupt as stop:
        print(f"interrupted ({stop or 'Ctrl-C'})", file=sys.stderr)
        sys.exit(143 if str(stop) == "SIGTERM" else 130)
    except Exception as error:
        from scratchlab.cli import mistakes

        message = mistakes.explain(error, words)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
