"""The command: compose, check, run, record."""

import logging
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import hydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from scratchlab import compose, experiments, mistakes, record
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


@hydra.main(version_base="1.3", config_path=str(compose.CONF), config_name="config")
def app(composed: DictConfig) -> dict[str, Any]:
    choices = compose.current_choices()
    return run(compose.typed(composed, choices["task"]), compose.reference(choices))


LISTS = ("select", "seeds", "claim", "chapter", "exercise", "factors")
"""Keys whose value is a list with commas, which Hydra would take for a sweep."""


def quote_lists(arguments: list[str]) -> list[str]:
    """Put the values of `LISTS` in quotes where they hold commas, unless the command is a sweep or has done so."""
    if {"-m", "--multirun"} & set(arguments):
        return arguments
    quoted = []
    for argument in arguments:
        key, _, value = argument.partition("=")
        plain = key in LISTS and "," in value and value[0] not in "'\"[{"
        quoted.append(f"{key}='{value}'" if plain else argument)
    return quoted


def name_task(arguments: list[str]) -> list[str]:
    """Add the task that swept experiments share: Hydra checks overrides of a sweep before it knows an experiment."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    swept = given.get("experiment", "")
    if "task" in given or not ("," in swept or swept.startswith("glob(")):
        return arguments
    wanted = swept.removeprefix("glob(").removesuffix(")")
    tasks = {e.task for e in experiments.read_all().values() if any(fnmatchcase(e.name, w) for w in wanted.split(","))}
    return [*arguments, f"task={tasks.pop()}"] if len(tasks) == 1 else arguments


def main() -> None:
    """Run the command line; exit code 0 only if every run of it is done."""
    # Hydra prints its own, longer story about errors unless told to let them through
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.argv[1:] = name_task(quote_lists(sys.argv[1:]))
    try:
        compose.register()
        app()
    except KeyboardInterrupt as stop:
        print(f"interrupted ({stop or 'Ctrl-C'})", file=sys.stderr)
        sys.exit(143 if str(stop) == "SIGTERM" else 130)
    except Exception as error:
        message = mistakes.explain(error, sys.argv[1:])
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
