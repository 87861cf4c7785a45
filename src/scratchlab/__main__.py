"""The command: compose, check, run, record."""

import logging
import os
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import hydra
from omegaconf import DictConfig

from scratchlab import compose, experiments, mistakes, record
from scratchlab.cli import listing, outcome
from scratchlab.run import Run, changes
from scratchlab.runs.registry import TASKS
from scratchlab.tracking import Tracker

log = logging.getLogger("scratchlab")


def run(config: Run, reference: Run | None = None, choices: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Do one run, keep its record, and return its result.

    `reference` is what the experiment is as published, `choices` what was typed; see `jobs.Job`.
    """
    task = TASKS[config.task].run
    if not config.recorded:
        return {"metrics": task(config, None)}
    for key, reason in config.idle().items():
        log.warning("%s has no effect: %s", key, reason)
    result, reused = record.keep(
        config,
        task,
        changes=changes(config, reference or config),
        tracker=Tracker(config.tracking),
        choices=choices,
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


@hydra.main(version_base="1.3", config_path=str(compose.CONF), config_name="config")
def app(composed: DictConfig) -> None:
    log_to_terminal()  # it may be another process that a launcher has started
    with outcome.one_job() as job:
        chosen = compose.current_choices()
        config = compose.typed(composed, chosen["task"])
        job.goes_to(record.folder_of(config))
        job.ends(run(config, compose.reference(chosen), job.choices).get("exit_code", 0))


def log_to_terminal() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


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
    log_to_terminal()
    sys.argv[1:] = name_task(quote_lists(sys.argv[1:]))
    try:
        compose.register()
        if not listing.answered(sys.argv[1:]):
            with outcome.of_the_sweep():
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
