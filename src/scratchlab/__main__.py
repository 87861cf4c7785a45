"""The command: compose, check, run, record."""

import logging
import os
import sys
from typing import TYPE_CHECKING

from scratchlab import processes
from scratchlab.cli import arguments, help
from scratchlab.launch.execute import run
from scratchlab.progress import ToConsole, on_a_terminal
from scratchlab.runs import signals
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from omegaconf import DictConfig


KEPT = (
    "finished runs are kept, and so is what this one has measured, with the state of its training where it was kept; "
    "the same command goes on from there"
)


def one_job(composed: "DictConfig") -> float:
    """Do the run that Hydra has composed, alone or in a sweep; the number that a sweeper which searches goes by."""
    from scratchlab.cli import objective, outcome
    from scratchlab.launch import compose

    number = objective.NONE
    log_to_terminal()  # it may be another process that a launcher has started
    with outcome.one_job() as job:
        if job is None:
            return number
        chosen = compose.current_choices()
        config: Run = compose.typed(composed, chosen["task"])
        if config.plan:
            from scratchlab.launch import plan_table

            plan_table.show_of(config, job.overrides)
            return number
        job.is_(config)
        result = run(config, compose.reference(chosen), job.choices, job.sweep)
        if processes.first():
            number = objective.of(config, result["metrics"])
        job.ends(result.get("exit_code", 0))
    return number


def log_to_terminal() -> None:
    level = logging.INFO if processes.first() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", handlers=[ToConsole()])


def main() -> None:
    """Run the command line; exit code 0 only if every run of it is done."""
    # Hydra prints its own, longer story about errors unless told to let them through
    os.environ["HYDRA_FULL_ERROR"] = "1"
    log_to_terminal()
    if not processes.first():
        sys.stdout = open(os.devnull, "w")  # what is to be read, the first process writes
    words = sys.argv[1:]
    if on_a_terminal() and not {"--help", "-h", "--version"} & set(words):
        print("scratchlab: reading the command", file=sys.stderr, flush=True)  # Hydra takes its second
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
        if processes.first():
            print(f"interrupted ({str(stop) or 'Ctrl-C'}): {KEPT}", file=sys.stderr)
        sys.exit(signals.exit_code(stop))
    except BrokenPipeError:  # whoever was reading has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from scratchlab.cli import mistakes

        message = mistakes.explain(error, words)
        if message is None:
            if not processes.first():  # its reason stands in the record, which the first process keeps
                sys.exit(1)
            raise
        if processes.first():
            print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
