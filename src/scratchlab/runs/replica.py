"""What W&B holds of a run, read back from an offline run's file or from the server, and held against the record."""

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

from scratchlab.runs.checks import is_number
from scratchlab.runs.record import read_history, read_result
from scratchlab.runs.tracking import State

_BLOCK = 32768
"""Bytes in which a .wandb file is laid out: LevelDB's log format, behind a header of seven bytes."""
_SHOWN = 3
"""Rows named one by one."""


@dataclass
class Held:
    """What W&B holds."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Step and values; W&B's own values, which begin with `_`, are left out."""
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[str] = field(default_factory=list)


def of(folder: Path, state: State) -> Held | None:
    """What W&B holds of a run; None if it does not know it.

    Raises:
        OSError: the file cannot be read.
        Exception: whatever W&B raises where its server is out of reach.
    """
    if state.mode == "online":
        return _fetched(state)
    path = Path(folder, state.place)
    return read_file(path) if state.place and path.is_file() else None


def read_file(path: Path) -> Held:
    """What an offline run's .wandb file holds, up to where it breaks off."""
    from wandb.proto import wandb_internal_pb2 as protocol

    held = Held()
    for content in _records(path.read_bytes()):
        record = protocol.Record()  # type: ignore[attr-defined]  # made at run time
        record.ParseFromString(content)
        match record.WhichOneof("record_type"):
            case "history":
                row = {_key(item): _value(item.value_json) for item in record.history.item}
                held.rows.append((record.history.step.num, _own(row)))
            case "summary":
                for item in record.summary.update:
                    _put(held.summary, list(item.nested_key) or [item.key], _value(item.value_json))
            case "artifact":
                held.artifacts.append(record.artifact.name)
            case "request" if record.request.WhichOneof("request_type") == "log_artifact":
                held.artifacts.append(record.request.log_artifact.artifact.name)
    return held


def _records(data: bytes) -> Iterator[bytes]:
    """Records of LevelDB's log format: each in one piece, or in a first, middle and last one, with checksums."""
    at, content = 7, b""
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:  # no piece begins so near to the end of a block
            at += left
            continue
        checksum, size, kind = struct.unpack("<IHB", data[at : at + 7])
        piece = data[at + 7 : at + 7 + size]
        if kind == 0 or len(piece) < size or zlib.crc32(piece, zlib.crc32(bytes([kind]))) != checksum:
            return
        at += 7 + size
        content = piece if kind in (1, 2) else content + piece
        if kind in (1, 4):
            yield content


def _key(item: Any) -> str:
    return ".".join(item.nested_key) or item.key


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for parent in parents:
        inner = target.get(parent)
        target[parent] = target = inner if isinstance(inner, dict) else {}
    target[last] = value


def _value(text: str) -> Any:
    return json.loads(text)


def _own(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("_") and value is not None}


def _fetched(state: State) -> Held | None:
    import wandb

    api = wandb.Api(timeout=20)
    try:
        run = api.run("/".join(filter(None, (state.entity, state.project, state.id))))
    except (ValueError, wandb.errors.CommError) as error:
        if "could not find" in str(error).lower():
            return None
        raise
    anew: dict[str, Any] = {"use_cache": False} if "use_cache" in signature(run.scan_history).parameters else {}
    rows = [(int(row["_step"]), _own(row)) for row in run.scan_history(**anew)]
    return Held(rows, dict(run.summary), [artifact.name for artifact in run.logged_artifacts()])


def differences(folder: Path, held: Held | None) -> list[str]:
    """What the two sides do not have alike, in words; empty if they agree."""
    if held is None:
        return ["the whole run"]
    return [*row_differences(read_history(folder), held.rows), *_summary_differences(folder, held)]


def row_differences(ours: list[dict[str, Any]], theirs: list[tuple[int, dict[str, Any]]]) -> list[str]:
    by_step: dict[int, dict[str, Any]] = {}
    twice = []
    for step, row in theirs:
        if step in by_step:
            twice.append(step)
        by_step[step] = row
    missing = [step for step in range(len(ours)) if step not in by_step]
    others = [step for step, row in enumerate(ours) if step in by_step and not _same_row(row, by_step[step])]
    beyond = [step for step in by_step if step >= len(ours)]
    return [
        f"{words}: {_listed(steps)} of {len(ours)}"
        for words, steps in zip((MISSING, *CONTRADICTIONS), (missing, others, twice, beyond), strict=True)
        if steps
    ]


MISSING = "rows that are missing"
CONTRADICTIONS = ("rows that differ", "rows that stand there twice", "rows that the record has not")
"""What no further row mends."""


def misses_rows(found: list[str]) -> bool:
    return any(line.startswith(MISSING) for line in found)


def contradicts(found: list[str]) -> bool:
    return any(line.startswith(CONTRADICTIONS) for line in found)


def _listed(steps: list[int]) -> str:
    """Rows are counted from 1, as lines of a file are."""
    if steps == list(range(steps[0], steps[-1] + 1)) and len(steps) > 1:
        return f"{steps[0] + 1} to {steps[-1] + 1}"
    shown = ", ".join(str(step + 1) for step in steps[:_SHOWN])
    return shown + (f" and {len(steps) - _SHOWN} more" if len(steps) > _SHOWN else "")


def _same_row(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return set(ours) == set(theirs) and all(_same(value, theirs[key]) for key, value in ours.items())


def _same(ours: Any, theirs: Any) -> bool:
    if is_number(ours) and isinstance(theirs, int | float | str):
        try:
            number = float(theirs)  # the server gives NaN and infinities as texts
        except ValueError:
            return False
        return ours == number or (math.isnan(ours) and math.isnan(number))
    return bool(ours == theirs)


def _summary_differences(folder: Path, held: Held) -> list[str]:
    result = read_result(folder)
    if result is None:
        return []
    wanted = {"status": result["status"]}
    wanted |= {key: value for key, value in result["metrics"].items() if is_number(value)}
    lacking = [key for key, value in wanted.items() if not _same(value, held.summary.get(key))]
    found = [f"the summary's {', '.join(lacking)}"] if lacking else []
    for name, path in media(folder).items():
        if not isinstance(held.summary.get(name), Mapping):
            found.append(path.name)
    if not any(name.startswith("record-") for name in held.artifacts):
        found.append("the artifact")
    return found


def media(folder: Path) -> dict[str, Path]:
    """Tables and plots that a record has, by the name that W&B knows them by."""
    return {path.stem: path for path in (*folder.glob("predictions.csv"), *sorted(folder.glob("*.png")))}
