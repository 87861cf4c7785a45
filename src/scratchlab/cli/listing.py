"""The jobs of a sweep before any of them runs: all of them checked, and listed by `-m ... --cfg job`."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from scratchlab.cli import mistakes
from scratchlab.launch import jobs, many
from scratchlab.launch.jobs import Job

MOST_TOLD = 50
"""Jobs with mistakes that are told one by one."""


def answered(arguments: list[str]) -> bool:
    """List the jobs of a sweep where the command line asks for no more; whether it does not.

    Raises:
        ValueError: jobs have mistakes, or something else is asked of a sweep.
    """
    given = get_args_parser().parse_args(arguments)
    if not given.multirun or given.cfg is None:
        return False
    if given.cfg != "job" or given.package:
        raise ValueError(
            f"-m --cfg {given.cfg}: a sweep has no single configuration; possible: --cfg job, or without -m"
        )
    searched = [f"hydra.searchpath=['file://{Path(given.config_dir).resolve()}']"] if given.config_dir else []
    show(composed(jobs.split([*searched, *given.overrides])))
    return True


def show(found: Sequence[Job]) -> None:
    """Print a line a job: number, whether a record is there, the run, the overrides."""
    there = jobs.states(found)
    states = [there[one.folder] for one in found]
    runs = [f"{one.config.name}/{one.folder.name}" for one in found]
    widths = [len(str(len(found) - 1)), max(map(len, states)), max(map(len, runs))]
    for number, (one, state, run) in enumerate(zip(found, states, runs, strict=True)):
        print(f"{number:{widths[0]}}  {state:{widths[1]}}  {run:{widths[2]}}  {shlex.join(one.overrides)}")
    different = dict(zip((one.folder for one in found), states, strict=True))
    counts = ", ".join(f"{count} {state}" for state, count in Counter(different.values()).items())
    print(f"{len(found)} jobs, {len(different)} different runs: {counts}")


def composed(splits: Sequence[tuple[str, ...]], first: tuple[str, ...] = ()) -> list[Job]:
    """Every job of a sweep, from its overrides; `first` stands before those of each when it is composed.

    Raises:
        ValueError: some cannot be composed; each is told with its number and its overrides.
    """
    found: list[Job] = []
    wrong: dict[int, str] = {}
    for number, one in enumerate(many.compose_all(splits, first)):
        if isinstance(one, Job):
            found.append(one)
            continue
        message = mistakes.explain(one, list(splits[number]))
        if message is None:
            raise one
        wrong[number] = message
    if len(wrong) == len(splits) and len(set(wrong.values())) == 1:
        raise ValueError(next(iter(wrong.values())))  # a mistake of the sweep, not of one of its jobs
    if wrong:
        lines = [f"job {n} ({shlex.join(splits[n])}): {text}" for n, text in wrong.items()]
        more = [f"and {len(lines) - MOST_TOLD} more like these"] if len(lines) > MOST_TOLD else []
        raise ValueError("\n".join([*lines[:MOST_TOLD], *more]))
    return found
