"""Go on where a run of the same fingerprint was stopped."""

import json
import logging
from typing import Any

from scratchlab import environment
from scratchlab.model.gpt import GPT
from scratchlab.model.state_files import load_checkpoint, save_state
from scratchlab.record import MODEL, PREVIOUS, Record, read_history, read_result, write_atomically

log = logging.getLogger(__name__)

TRAINED = "checkpoint/trained.json"
"""What training measured and on what; written after the weights."""


def save(record: Record, model: GPT, metrics: dict[str, Any]) -> None:
    """Keep a trained model in the record, so that what comes after training need not wait for it again."""
    save_state(model, record.folder / MODEL)
    write_atomically(record.folder / TRAINED, json.dumps({"metrics": metrics, "made_with": _made_with(record)}))


def take_over(record: Record, model: GPT, files: tuple[str, ...]) -> dict[str, Any] | None:
    """Load what the last run of this fingerprint had trained before it was stopped, and move its files here.

    Returns what training measured; None if there is no such run, it came to its end, or its data, starting weights or
    library versions were others.
    """
    aside = record.folder / PREVIOUS
    before = max(aside.iterdir(), default=None) if aside.is_dir() else None  # named by time
    if before is None or not (before / TRAINED).is_file():
        return None
    result = read_result(before)
    trained = json.loads((before / TRAINED).read_text(encoding="utf-8"))
    if (result is not None and result["status"] == "done") or trained["made_with"] != _made_with(record):
        return None
    log.info("%s was stopped after training: going on from there", before)
    load_checkpoint(model, before / MODEL)
    for line in read_history(before):
        record.history(**line)
    for name in (MODEL, TRAINED, *files):
        if (before / name).exists():
            (record.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (before / name).rename(record.folder / name)
    return trained["metrics"]


def _made_with(record: Record) -> dict[str, Any]:
    return {"hashes": record.hashes, "versions": environment.versions(), "device": record.device}
