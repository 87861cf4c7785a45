"""The command: compose, check, run, record."""

import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scratchlab.cli import arguments, help
from scratchlab.runs import record
from scratchlab.runs.config import Run
from scratchlab.runs.identity import changes
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker

if TYPE_CHECKING:
    from omegaconf import DictConfig

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


def one_job(composed: "DictConfig") -> float:
    """Do the run that Hydra has composed, alone or in a sweep; the number that a sweeper which searches goes by."""
    from scratchlab.cli import objective, outcome
    from scratchlab.launch import compose

    number = objective.NONE
    log_to_terminal()  # it may be another process that a launcher has started
    with outcome.one_job() as job:
        chosen = compose.current_choices()
        config = compose.typed(composed, chosen["task"])
        job.is_(config)
        result = run(config, compose.reference(chosen), job.choices)
        number = objective.of(config, result["metrics"])
        job.ends(result.get("exit_code", 0))
    return number


def log_to_terminal() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


def main() -> None:
    """Run the command line; exit code 0 only if every run of it is done."""
    # Hydra prints its own, longer story about errors unless told to let them through
    os.environ["HYDRA_FULL_ERROR"] = "1"
    log_to_terminal()
    words = sys.argv[1:]
    try:
        if (page := help.page(words)) is not None:
            print(page, flush=True)
            return
        sys.argv[1:] = words = arguments.prepare(words)
        # with Hydra, which help can do without
        from scratchlab.cli import listing, outcome
        from scratchlab.launch import compose

        compose.register()
        if not listing.answered(words):
            with outcome.of_the_sweep():
                compose.entry_point(one_job)()
    except KeyboardInterrupt as stop:
        print(f"interrupted ({stop or 'Ctrl-C'})", file=sys.stderr)
        sys.exit(143 if str(stop) == "SIGTERM" else 130)
    except BrokenPipeError:  # whoever was reading has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from scratchlab.cli import mistakes

        message = mistakes.explain(error, words)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
