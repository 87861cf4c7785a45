"""Our own recorded numbers by class of environment: to see that a change of ours changed nothing.

They are no claims, say nothing about the book, and no verdict reads them. Recording again needs a reason, and keeps
what was there.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlab import stats
from scratchlab.evidence.runs import RunRecord
from scratchlab.evidence.verdicts.single import TOLERANCE, environment_class
from scratchlab.files import as_json, with_numbers
from scratchlab.runs.metrics import metric
from scratchlab.runs.record import write_atomically


@dataclass(frozen=True)
class Difference:
    name: str
    seed: int
    metric: str
    golden: Any
    measured: Any


def environment(run: RunRecord) -> str:
    """Class of environment, as a file name: device, precision, minor version of torch."""
    torch = ".".join(run.versions.get("torch", "unknown").split("+")[0].split(".")[:2])
    return f"{environment_class(run) or 'unknown'} torch {torch}".replace(" ", "-")


def read(folder: Path, where: str) -> list[dict[str, Any]]:
    path = folder / f"{where}.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [entry | {"metrics": with_numbers(entry["metrics"])} for entry in entries]


def record(folder: Path, runs: Iterable[RunRecord], *, reason: str, date: str) -> int:
    """Append the runs' numbers to the files of their environments; returns how many runs.

    Raises:
        ValueError: no reason is given.
    """
    if not reason.strip():
        raise ValueError("reason is empty: say why these numbers are the right ones from now on")
    added: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        entry = {"name": run.name, "seed": run.seed, "fingerprint": run.fingerprint, "changes": run.changes}
        entry |= {"metrics": _steady(run), "seconds": run.seconds, "date": date, "reason": reason}
        added.setdefault(environment(run), []).append(entry)
    folder.mkdir(parents=True, exist_ok=True)
    for where, entries in added.items():
        write_atomically(folder / f"{where}.json", as_json([*read(folder, where), *entries]))
    return sum(map(len, added.values()))


def _steady(run: RunRecord) -> dict[str, Any]:
    """What another run must give again; of metrics that nobody declared, all."""
    return {name: value for name, value in run.metrics.items() if metric(name).steady or not metric(name).declared}


def check(folder: Path, runs: Iterable[RunRecord]) -> tuple[int, list[Difference]]:
    """How many runs have a golden, and where they differ from the last one recorded for their environment."""
    checked, found = 0, []
    for run in runs:
        same = [
            entry
            for entry in read(folder, environment(run))
            if (entry["name"], entry["seed"], entry["changes"]) == (run.name, run.seed, run.changes)
        ]
        if not same:
            continue
        checked += 1
        tolerance = TOLERANCE.get(environment_class(run), 0.0)
        for name, golden in same[-1]["metrics"].items():
            measured = run.metrics.get(name)
            if not _agree(measured, golden, tolerance):
                found.append(Difference(run.name, run.seed, name, golden, measured))
    return checked, found


def _agree(measured: Any, golden: Any, tolerance: float) -> bool:
    if isinstance(golden, float) and isinstance(measured, int | float):
        if not (math.isfinite(golden) and math.isfinite(measured)):
            return str(float(measured)) == str(golden)
        return stats.close(measured, golden, rtol=tolerance).ok
    return bool(measured == golden)
