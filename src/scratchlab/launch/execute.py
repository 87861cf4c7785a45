"""Do one run and keep its record."""

import logging
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from scratchlab import processes
from scratchlab.launch import together
from scratchlab.progress import on_a_terminal
from scratchlab.runs import record
from scratchlab.runs.config import Run
from scratchlab.runs.identity import changes
from scratchlab.runs.metrics import METRICS, metric, preferred
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker

MOST_NUMBERS = 4
"""In the line that a run ends in; the record has all."""

log = logging.getLogger("scratchlab")


def run(config: Run, reference: Run | None = None, choices: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Do one run, keep its record, and return its result.

    `reference` is what the experiment is as published, `choices` what was typed; see `jobs.Job`.
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
        tracker=Tracker(config.tracking),
        choices=choices,
    )
    result, reused = keep(task) if processes.started() == 1 else together.run(config, task, keep)
    folder = record.folder_of(config)
    if config.reusable:
        for line in ending(config, result["metrics"], reused):
            log.info("%s", line)
    return result | {"folder": str(folder), "exit_code": config.exit_code(result["metrics"])}


def ending(config: Run, metrics: Mapping[str, Any], reused: bool) -> list[str]:
    """The few lines that a run ends in: the numbers that matter, where its record is, and what may come next."""
    folder = record.folder_of(config)
    said = [f"{metric(name).words} {metric(name).shown(metrics[name])}" for name in _that_matter(metrics)]
    lines = [f"{config.name}, seed {config.seed}: {', '.join(said)}"] if said else []
    lines.append(
        f"{'already done (force=true repeats it)' if reused else 'done'}: {folder} (all numbers: {record.RESULT})"
    )
    if config.claims:
        lines.append(f"next: scratchlab task=reproduce select={config.name}")
    elif any(name in metrics for name in preferred()):
        lines.append(f"next: scratchlab task=compare select={config.name}")
    return lines


def _that_matter(metrics: Mapping[str, Any]) -> list[str]:
    """Metrics that are compared by preference; of a run that has none, the first that are numbers."""
    numbers = [name for name, value in metrics.items() if isinstance(value, int | float | str) and name in METRICS]
    chosen = [name for name in preferred() if name in numbers]
    rest = [name for name in numbers if metric(name).steady]
    return (chosen or rest)[:MOST_NUMBERS]
