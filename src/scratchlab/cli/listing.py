"""The jobs of a sweep before any of them runs: checked one by one, and listed by `-m ... --cfg job`."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser

from scratchlab.cli import mistakes
from scratchlab.launch import jobs
from scratchlab.launch.jobs import Job


def answered(arguments: list[str]) -> bool:
    """Check every job of a sweep, and list them where the command line asks for no more; whether it does not.

    Raises:
        ValueError: jobs have mistakes, or something else is asked of a sweep.
    """
    given = get_args_parser().parse_args(arguments)
    other_sweeper = any(word.startswith("hydra/sweeper=") for word in given.overrides)
    if not given.multirun or (given.cfg is None and other_sweeper):
        return False
    if given.cfg not in (None, "job") or given.package:
        raise ValueError(
            f"-m --cfg {given.cfg}: a sweep has no single configuration; possible: --cfg job, or without -m"
        )
    searched = [f"hydra.searchpath=['file://{Path(given.config_dir).resolve()}']"] if given.config_dir else []
    found = check([*searched, *given.overrides])
    if given.cfg:
        show(found)
    return given.cfg is not None


def show(found: Sequence[Job]) -> None:
    """Print a line a job: number, whether a record is there, the run, the overrides."""
    states = [one.state for one in found]
    runs = [f"{one.config.name}/{one.folder.name}" for one in found]
    widths = [len(str(len(found) - 1)), max(map(len, states)), max(map(len, runs))]
    for number, (one, state, run) in enumerate(zip(found, states, runs, strict=True)):
        print(f"{number:{widths[0]}}  {state:{widths[1]}}  {run:{widths[2]}}  {shlex.join(one.overrides)}")
    different = dict(zip((one.folder for one in found), states, strict=True))
    counts = ", ".join(f"{count} {state}" for state, count in Counter(different.values()).items())
    print(f"{len(found)} jobs, {len(different)} different runs: {counts}")


def check(overrides: list[str]) -> list[Job]:
    """Compose every job of a sweep.

    Raises:
        ValueError: some cannot be; each is told with its number and its overrides.
    """
    splits = jobs.split(overrides)
    found: list[Job] = []
    wrong: dict[int, str] = {}
    for number, words in enumerate(splits):
        try:
            found.append(jobs.job(words))
        except Exception as error:
            message = mistakes.explain(error, list(words))
            if message is None:
                raise
            wrong[number] = message
    if len(wrong) == len(splits) and len(set(wrong.values())) == 1:
        raise ValueError(next(iter(wrong.values())))  # a mistake of the sweep, not of one of its jobs
    if wrong:
        raise ValueError("\n".join(f"job {n} ({shlex.join(splits[n])}): {text}" for n, text in wrong.items()))
    return found
