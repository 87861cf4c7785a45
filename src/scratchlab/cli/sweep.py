"""Do a sweep: plan it, launch what is missing, and go on with the rest whatever happens to one of its jobs."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from scratchlab.cli import listing, live, outcome
from scratchlab.cli.sweep_folder import Entry, Sweep, read
from scratchlab.launch import jobs, plan, plan_table
from scratchlab.launch.plan import Planned
from scratchlab.runs import signals
from scratchlab.runs.config import Retry

log = logging.getLogger("scratchlab")

MOST_STARTS = 2
"""Of one job in one sweep, where the launcher loses it."""


def run(config: DictConfig, launcher: Launcher) -> None:
    """Plan the jobs of a composed sweep and launch those that are to run; see `outcome.show` for how it ends.

    Raises:
        ValueError: jobs have mistakes, or this is one of several processes; none has run.
        RuntimeError: the launcher's packages are not installed, or its scheduler is not here.
        Exception: the launcher could not start any job that is left.
    """
    try:
        outcome.check_alone()
    except ValueError:
        outcome.SweepFolder.current = None
        raise
    found = listing.composed(jobs.split_composed(config), jobs.searched(config))
    estimated = config.plan or len(found) > 1
    planned = plan.make(found, Retry(config.retry), estimated=estimated, measured=config.measure)
    if config.plan:
        plan_table.show(planned)
        outcome.SweepFolder.current = None  # nothing has run, and nothing is to be told about it
        return
    check(launcher)
    sweep = Sweep(Path(config.hydra.sweep.dir))
    sweep.begin(config.fail_fast)
    sweep.expect(live.expected(planned))
    waiting = note(planned, sweep)
    if len(planned) > 1:
        for line in (plan.summary(planned), *plan.left_out(planned)):
            log.info("%s", line)
        log.info("%s", plan_table.total(planned))
    with asked_to_stop(sweep):
        launch(launcher, waiting, sweep, config.hydra.sweeper)


def check(launcher: Launcher) -> None:
    """Let a launcher say what it lacks before anything is written; only ours can."""
    its_own = getattr(launcher, "check", None)
    if its_own is None:
        return
    told, outcome.SweepFolder.current = outcome.SweepFolder.current, None
    its_own()
    outcome.SweepFolder.current = told


def note(planned: Sequence[Planned], sweep: Sweep) -> list[Entry]:
    """Write down what the sweep knows of its jobs before they start; those that are to be launched."""
    entries = {one.number: entry_of(one) for one in planned if one.copy_of is None}
    for entry in entries.values():
        entry.write(sweep.folder)
    return [entries[one.number] for one in planned if one.runs]


def entry_of(one: Planned) -> Entry:
    """What the sweep knows of a job before it starts."""
    entry = Entry(one.number, list(one.job.overrides))
    if one.runs:
        return entry
    entry.folder = str(one.job.folder.resolve())
    if one.state == plan.DONE:
        entry.exit_code = 0
    elif one.state == plan.RUNNING:
        entry.stopped = "another process is doing it"
    else:
        entry.error = f"{one.reason} (before; see retry)"
    return entry


def launch(launcher: Launcher, waiting: list[Entry], sweep: Sweep, settings: DictConfig) -> None:
    """Hand jobs to the launcher until each has come to its end, or was lost twice.

    A process that is killed takes others with it under some launchers, and those that have not begun with them.
    """
    for library in ("hydra", "hydra_plugins"):  # whose launchers count the jobs in another way
        logging.getLogger(library).setLevel(logging.WARNING)
    size = OmegaConf.select(settings, "max_batch_size") or len(waiting)
    starts: dict[int, int] = {}
    while waiting and not sweep.stopped():
        batch, waiting = waiting[:size], waiting[size:]
        first = sweep.launches([entry.number for entry in batch])
        try:
            launcher.launch([entry.overrides for entry in batch], initial_job_idx=first)
        except Exception as error:
            after = {entry.number: entry for entry in read(sweep.folder)}
            left = [after[entry.number] for entry in batch if not after[entry.number].ended]
            if len(left) == len(batch) and not any(entry.folder for entry in left):
                raise
            for entry in left:
                starts[entry.number] = starts.get(entry.number, 0) + bool(entry.folder)
            again = [entry for entry in left if starts[entry.number] < MOST_STARTS]
            log.warning("%s; %d jobs that it did not end are started again", _first_line(error), len(again))
            waiting = [*again, *waiting]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


@contextmanager
def asked_to_stop(sweep: Sweep) -> Iterator[None]:
    """Within this, a signal ends the jobs that run in other processes here, each with its step, before the sweep.

    A second one does not wait for them.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        running = sweep.running()
        if asked or not running:
            sweep.stop(name)
            raise signals.as_exception(name)
        asked.append(name)
        sweep.stop(name)
        for process in running:
            try:
                os.kill(process, signal.SIGTERM)
            except ProcessLookupError:  # it has just ended
                continue

    asked: list[str] = []
    before = signals.take_over(handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise signals.as_exception(asked[0])
