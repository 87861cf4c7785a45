"""Do one run and keep its record."""

import logging
import shlex
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from scratchlab import processes
from scratchlab.launch import together
from scratchlab.launch.words import value as words_of
from scratchlab.progress import on_a_terminal
from scratchlab.runs import record
from scratchlab.runs.config import OUT, Debug, Run, TrackingConfig
from scratchlab.runs.identity import changes
from scratchlab.runs.metrics import METRICS, metric, preferred
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker

MOST_NUMBERS = 4
"""In the line that a run ends in; the record has all."""

log = logging.getLogger("scratchlab")


def run(
    config: Run, reference: Run | None = None, choices: Mapping[str, str] | None = None, sweep: str = ""
) -> dict[str, Any]:
    """Do one run, keep its record, and return its result.

    `reference` is what the experiment is as published, `choices` what was typed, see `jobs.Job`; `sweep`: the name of
    the sweep that this run is part of.
    """
    task = TASKS[config.task].run
    if not config.recorded:
        return {"metrics": task(config, None)}
    if on_a_terminal() and "torch" not in sys.modules and not config.about_records:
        log.info("loading PyTorch")
    for key, reason in config.idle().items():
        log.warning("%s has no effect: %s", key, reason)
    keep = partial(
        record.keep,
        config,
        changes=changes(config, reference or config),
        tracker=tracker(config, sweep),
        choices=choices,
    )
    result, reused = keep(task) if processes.started() == 1 else together.run(config, task, keep)
    folder = record.folder_of(config)
    if config.reusable:
        for line in ending(config, result["metrics"], reused, alone=not sweep):
            log.info("%s", line)
    return result | {"folder": str(folder), "exit_code": config.exit_code(result["metrics"])}


def tracker(config: Run, sweep: str) -> Tracker:
    def verdicts() -> dict[str, str]:
        from scratchlab.evidence import spoken
        from scratchlab.launch.published import Compositions

        return spoken.verdicts(config.out, config.name, Compositions())

    tracking = config.tracking if config.tracked else TrackingConfig()
    return Tracker(tracking, sweep=sweep, verdicts=verdicts if config.claims else None)


def ending(config: Run, metrics: Mapping[str, Any], reused: bool, *, alone: bool = True) -> list[str]:
    """The few lines that a run ends in: the numbers that matter, where its record is, and what may come next.

    `alone`: no job of a sweep, which says for all of them what comes next.
    """
    folder = record.folder_of(config)
    said = [f"{metric(name).words} {metric(name).shown(metrics[name])}" for name in _that_matter(metrics)]
    lines = [f"{config.name}, seed {config.seed}: {', '.join(said)}"] if said else []
    lines.append(
        f"{'already done (force=true repeats it)' if reused else 'done'}: {folder} (all numbers: {record.RESULT})"
    )
    following = "reproduce" if config.claims else "compare"
    if config.debug is not Debug.none:
        lines.append(f"debug={config.debug.name}: a trial, no evidence; the run itself is the same command without it")
    elif alone and (config.claims or any(name in metrics for name in preferred())):
        where = [] if config.out == OUT else [f"out={words_of(config.out)}"]
        lines.append(f"next: {shlex.join(['scratchlab', f'task={following}', f'select={config.name}', *where])}")
    return lines


def _that_matter(metrics: Mapping[str, Any]) -> list[str]:
    """Metrics that are compared by preference; of a run that has none, the first that are numbers."""
    numbers = [name for name, value in metrics.items() if isinstance(value, int | float | str) and name in METRICS]
    chosen = [name for name in preferred() if name in numbers]
    rest = [name for name in numbers if metric(name).steady]
    return (chosen or rest)[:MOST_NUMBERS]
