"""Do one run and keep its record."""

import logging
from collections.abc import Mapping
from typing import Any

from scratchlab.runs import record
from scratchlab.runs.config import Run
from scratchlab.runs.identity import changes
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker

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
