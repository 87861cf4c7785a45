"""A job is its overrides, its typed configuration and its folder; sweeps and ablations are lists of jobs."""

import contextlib
import logging
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from scratchlab.evidence import index
from scratchlab.launch import compose, expansion, warm
from scratchlab.launch.options import CONF
from scratchlab.runs import identity, record
from scratchlab.runs.config import Run

log = logging.getLogger(__name__)

PLANNED_SWEEPER, BASIC_SWEEPER = "hydra_plugins.scratchlab_sweeper.PlannedSweeper", BasicSweeperConf._target_

NO_CHOICE = ("task", "experiment", "seed", "launch")
"""Keys that say which run it is, and where it runs; what else is typed is a choice, unless it is bookkeeping."""


@dataclass(frozen=True)
class Job:
    """One run that is to be there."""

    overrides: tuple[str, ...]
    config: Run
    folder: Path
    choices: dict[str, str]
    """What was typed, by group or key; see `choices`."""

    @property
    def command(self) -> str:
        return shlex.join(["scratchlab", *self.overrides])

    @property
    def state(self) -> str:
        """What its record says; see `states`."""
        return states([self])[self.folder]


def states(jobs: Iterable[Job]) -> dict[Path, str]:
    """By folder, what the records of jobs say: done, failed, interrupted, unfinished, unreadable; `new`: no record."""
    folders = list(dict.fromkeys(one.folder for one in jobs))
    there = index.of(folders)
    return {folder: there[folder].status if folder in there else "new" for folder in folders}


def job(overrides: Iterable[str]) -> Job:
    """Compose a job from overrides as they stand on the command line; nothing slow, and nothing is written.

    Raises what `compose` raises, so that a list of jobs is right before its first one runs.
    """
    words = tuple(overrides)
    config = compose.compose(list(words))
    return Job(words, config, record.folder_of(config), choices(words, type(config)))


def expand(overrides: Sequence[str]) -> list[Job]:
    """The jobs that `scratchlab -m OVERRIDES` means, in the order in which Hydra starts them."""
    return [job(words) for words in split(overrides)]


def split(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of every job of a sweep; only the sweep itself is composed.

    Raises:
        ValueError: the sweep has a sweeper whose jobs are not known beforehand.
    """
    with at_hand():
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        sweep = hydra.compose_config(compose.PRIMARY, list(overrides), run_mode=RunMode.MULTIRUN)
        return [(*searched(sweep), *words) for words in split_composed(sweep)]


def searched(sweep: DictConfig) -> tuple[str, ...]:
    """The words of a composed sweep that say where else options lie."""
    return tuple(word for word in sweep.hydra.overrides.hydra if word.startswith("hydra.searchpath="))


def split_composed(sweep: DictConfig) -> list[tuple[str, ...]]:
    """The overrides of every job of a composed sweep, `hydra.sweeper.params` of its experiment included."""
    sweeper = sweep.hydra.sweeper
    if sweeper._target_ not in (PLANNED_SWEEPER, BASIC_SWEEPER):
        raise ValueError(f"hydra/sweeper={sweeper._target_}: it makes its jobs one after the other; possible: planned")
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return expansion.expand(sweep.hydra.overrides.task, parser, sweeper.params or {}, sweeper.get("parts") or ())


@contextmanager
def at_hand() -> Iterator[None]:
    """Hydra at hand: the one that runs the command, or one for as long as this takes."""
    if GlobalHydra.instance().is_initialized():
        yield
        return
    compose.register()
    with initialize_config_dir(str(CONF), version_base=compose.VERSION, job_name="scratchlab"):
        yield


def choices(overrides: Iterable[str], schema: type) -> dict[str, str]:
    """What overrides choose, by group or key, as text: `prompt=phi3 seed=1` chooses {"prompt": "phi3"}.

    Which run it is (task, experiment, seed) and where and how it is kept are no choices.
    """
    found = {}
    no_choice = (*NO_CHOICE, *identity.marks(schema).bookkeeping)
    for override in map(expansion.parsed, overrides):
        key = override.key_or_group
        bookkeeping = any(key == out or key.startswith(f"{out}.") for out in no_choice)
        if override.is_hydra_override() or bookkeeping:
            continue
        if override.is_delete():
            key = f"~{key}"
        match override.value():
            case str() as text:  # without its quotes
                found[key] = text
            case bool() as switch:
                found[key] = str(switch).lower()
            case _:
                found[key] = override.get_value_element_as_str()
    return found


def run_all(jobs: Sequence[Job]) -> list[Job]:
    """Run jobs one after the other, each alone in its process; see `warm`.

    What is done already is not repeated, and after one that fails the rest go on; returns those that failed.
    """
    failed: list[Job] = []
    # an experiment may say that it is a sweep; a job of it is not
    codes = warm.exit_codes([[*one.overrides, "hydra.mode=RUN"] for one in jobs])
    with contextlib.closing(codes):
        for number, one in enumerate(jobs, start=1):
            log.info("run %d of %d: %s", number, len(jobs), one.command)
            if code := next(codes):
                log.warning("%s ended with exit code %d", one.command, code)
                failed.append(one)
    return failed
