"""The command that makes a run, from its record: it composes to the record's own fingerprint."""

import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from scratchlab.book import experiments
from scratchlab.evidence.gather import Comparison
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.launch import compose, many
from scratchlab.launch.jobs import Job
from scratchlab.launch.words import value as word_of
from scratchlab.runs import identity
from scratchlab.runs.config import Run

log = logging.getLogger(__name__)

Composed = Mapping[tuple[str, ...], Run | None]
"""By words, the configuration that they compose to; None where they do not."""
NONE = "no command of this version makes it"


def settle(found: Sequence[Comparison]) -> None:
    """Put into every row of comparisons the command that makes its arm."""
    composed = _together([arm.runs[0] for one in found for arm in one.arms])
    for one in found:
        arms = [one.baseline, *(arm for arm in one.arms if arm is not one.baseline)]
        for arm, row in zip(arms, one.rows, strict=True):
            row["command"] = of_arm(arm, composed)


def of_arm(arm: Arm, composed: Composed | None = None) -> str:
    """One line for all seeds of an arm, as it is typed in a shell; `composed`: what is composed already."""
    words = overrides(arm.runs[0], composed)
    if words is None:
        return NONE
    many = len(arm.seeds) > 1
    seeds = ",".join(map(str, arm.seeds))
    return shlex.join(["scratchlab", *(["-m"] if many else []), *words, f"seed={seeds}"])


def overrides(run: RunRecord, composed: Composed | None = None) -> list[str] | None:
    """What is typed to make a run, its seed apart; None where nothing composes to its fingerprint."""
    for words in _candidates(run):
        whole = (*words, f"seed={run.seed}")
        config = composed[whole] if composed and whole in composed else _composed(whole)
        if config is not None and identity.fingerprint(config) == run.fingerprint and config.name == run.name:
            return words
    return None


def _together(runs: Sequence[RunRecord]) -> Composed:
    """What is most likely typed for each run, composed for all of them at once."""
    likely = list(dict.fromkeys((*next(_candidates(run)), f"seed={run.seed}") for run in runs))
    found = many.compose_all(likely)
    return {words: one.config if isinstance(one, Job) else None for words, one in zip(likely, found, strict=True)}


def _candidates(run: RunRecord) -> Iterator[list[str]]:
    """The experiment of its name, or its task with that name: with what was typed, then with all that differs."""
    own = experiments.read_named(run.name)
    named = [f"experiment={run.name}"] if own is not None and own.task == run.task else []
    of_task = [f"task={run.task}", f"name={word_of(run.name)}"]
    typed = [f"{key}={_as_typed(value)}" for key, value in run.choices.items()]
    if named:
        yield [*named, *typed]
    if typed or not named:
        yield [*of_task, *typed]
    base = _composed(tuple(of_task))
    if base is not None:
        yield [*of_task, *_differences(base, run)]


def _as_typed(text: str) -> str:
    """What was typed, as a record keeps it without its quotes, with quotes where it needs them."""
    return text if re.fullmatch(r"[\w.+-]+|\[[\w.,+-]*\]", text) else word_of(text)


def _differences(config: Run, run: RunRecord) -> list[str]:
    flat = identity.flatten(config)
    acting = identity.acting(run.config, type(config))
    given = {key: value for key, value in acting.items() if key != "seed" and flat.get(key) != value}
    return [f"{key}={word_of(value)}" for key, value in given.items()]


@lru_cache(maxsize=4096)
def _composed(words: tuple[str, ...]) -> Run | None:
    """None where they do not compose: then they are not the command."""
    try:
        return compose.compose(list(words))
    except Exception as error:
        log.debug("%s: %s", shlex.join(words), error)
        return None
