"""What `import scratchlab` offers: the words of the command line, from Python.

Overrides are given as they are typed (`"experiment=quickstart", "model=gpt2_small"`), or as keywords where the key has
no dot (`seed=124, out=Path("outputs")`). Paths are text or `Path`.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scratchlab.book import experiments
from scratchlab.cli import mistakes
from scratchlab.evidence import gather, records
from scratchlab.evidence.gather import Comparison
from scratchlab.evidence.runs import RunRecord, arms, read_run
from scratchlab.files import dotted, read_yaml
from scratchlab.launch import compose as composing
from scratchlab.launch import execute, jobs
from scratchlab.launch.published import Compositions
from scratchlab.launch.words import value as words_of
from scratchlab.runs import record
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Place = str | Path


def compose(*overrides: str, **keys: Any) -> Run:
    """The typed configuration that a command line means; nothing runs and nothing is written.

    Raises:
        ValueError: a key, an option or a value is wrong; says what is possible, as the command line does.
    """
    return _job(overrides, keys)[0].config


def run(*what: str | Run, **keys: Any) -> RunRecord:
    """Do a run, or find it done, and give its record: `run("experiment=quickstart", seed=124)` or `run(config)`.

    Raises:
        ValueError: as `compose`; or the task leaves no record.
        Exception: what ends the run; its record says so too.
    """
    words = [word for word in what if isinstance(word, str)]
    configs = [one for one in what if isinstance(one, Run)]
    if len(what) != len(words) + len(configs) or len(configs) > 1 or (configs and (words or keys)):
        raise ValueError(
            f"run({', '.join(map(repr, what))}): possible: overrides, as run('experiment=NAME', seed=124), "
            "or one configuration that compose() gave"
        )
    if configs:
        config, choices = configs[0], {}
        reference = _published(config)
    else:
        job, reference = _job(words, keys)
        config, choices = job.config, job.choices
    if not config.recorded:
        raise ValueError(
            f"task={config.task}: it only shows something and leaves no record; run it on the command line"
        )
    return read_run(Path(execute.run(config, reference, choices)["folder"]))


def read(out: Place = "outputs", select: str = "*") -> "pd.DataFrame":
    """One row a run that came to an end: result fields, `metrics.*`, `config.*` and `folder`.

    `select`: globs over names, comma-separated. Nested fields get dotted names; lists stay lists. A record that cannot
    be read is left out with a warning that names it.
    """
    import pandas as pd

    rows = []
    for folder in record.folders(out, select):
        try:
            result, config = record.result_or_warning(folder), read_yaml(folder / record.CONFIG)
        except (OSError, yaml.YAMLError) as error:
            log.warning("%s is left out: %s", folder / record.CONFIG, " ".join(str(error).split()))
            continue
        if result is not None:
            rows.append(
                {"folder": str(folder)}
                | dotted(result, keep=("claims", "changes", "choices", "no_effect"))
                | dotted({"config": config}, keep=("config.claims",))
            )
    return pd.DataFrame(rows)


def compare(
    out: Place = "outputs",
    select: str = "*",
    *,
    task: str = "",
    baseline: str = "",
    metric: str = "",
    seeds: Iterable[int] = (),
) -> Comparison:
    """Hold the arms of one task against one baseline; `.table` is a data frame, `.headline` a sentence.

    Raises:
        ValueError: there are fewer than two arms, or arms of several tasks and none is chosen by `task`.
    """
    runs = records.read(out, select, list(seeds))
    tasks = list(dict.fromkeys(run.task for run in runs if run.done))
    if task and task not in tasks:
        raise ValueError(f"task={task} out={out} select={select}: no finished run of it; there are: {', '.join(tasks)}")
    if not task and len(tasks) > 1:
        raise ValueError(f"out={out} select={select}: runs of {', '.join(tasks)}; possible: task={tasks[0]!r}")
    chosen = [run for run in runs if run.task == (task or run.task)]
    found = gather.comparisons(chosen, experiments.read_all(), baseline, metric)
    if not found:
        count = len(arms(chosen))
        raise ValueError(f"out={out} select={select}: {count} arms with a number to compare; needed: 2 or more")
    return found[0]


def reproduce(out: Place = "outputs", select: str = "*", *, seeds: Iterable[int] = ()) -> "pd.DataFrame":
    """One row a published claim with its verdict and the reason: the lines of verdicts.json."""
    import pandas as pd

    found = gather.gather(out, experiments.read_all(), select=select, seeds=list(seeds), published=Compositions())
    return pd.DataFrame(found.verdicts)


def _job(overrides: Sequence[str], keys: dict[str, Any]) -> tuple[jobs.Job, Run | None]:
    """The job of overrides, and its experiment as published if it is otherwise.

    Raises:
        ValueError: they do not compose.
    """
    words = [*overrides, *(f"{key}={words_of(value)}" for key, value in keys.items())]
    try:
        job = jobs.job(words)
        chosen = "experiment" if any(word.startswith("experiment=") for word in words) else "task"
        name = next((word.partition("=")[2] for word in words if word.startswith(f"{chosen}=")), job.config.task)
        return job, composing.reference({chosen: name}, words)
    except Exception as error:
        message = mistakes.explain(error, words)
        if message is None:
            raise
        raise ValueError(message) from error


def _published(config: Run) -> Run | None:
    """What a configuration's experiment is as published; None where its name is no experiment's."""
    named = experiments.read_named(config.name)
    if named is None or named.task != config.task:
        return None
    return composing.compose([f"experiment={config.name}"])
