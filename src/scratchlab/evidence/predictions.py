"""A run's own predictions: read whole or refused, and held against the numbers that its record states."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.files import read_json
from scratchlab.runs.metrics import METRICS

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS, SCORES = "predictions.csv", "scores.json"
COLUMNS = ("split", "index", "label", "prediction")
"""Each file has these; `probability` may be missing."""
ROUNDING = 1e-9
"""How far a share of right predictions may lie from the number in the record."""


@dataclass(frozen=True)
class Items:
    """Predictions over one split, sorted by index."""

    index: "np.ndarray"
    label: "np.ndarray"
    prediction: "np.ndarray"
    probability: "np.ndarray"

    @property
    def correct(self) -> "np.ndarray":
        return (self.label == self.prediction).astype(float)


def read(folder: Path) -> tuple[dict[str, Items], str]:
    """The predictions in a run's folder by split, and what is wrong with their file; then there are none."""
    path = folder / PREDICTIONS
    if not path.is_file():
        return {}, ""
    now = path.stat()
    return _read(path, (now.st_mtime_ns, now.st_ctime_ns, now.st_size, now.st_ino))


@lru_cache(maxsize=4096)
def _read(path: Path, _now: tuple[int, ...]) -> tuple[dict[str, Items], str]:
    try:
        return _parsed(path.read_text(encoding="utf-8").splitlines()), ""
    except (ValueError, OSError) as error:
        return {}, f"{PREDICTIONS}: {error}"


def _parsed(lines: list[str]) -> dict[str, Items]:
    if not lines:
        raise ValueError("is empty")
    names = lines[0].split(",")
    if lacking := [name for name in COLUMNS if name not in names]:
        raise ValueError(f"its columns are {lines[0][:80]!r}; {', '.join(lacking)} must be among them")
    for number, line in enumerate(lines[1:], start=2):
        if line.count(",") != len(names) - 1:
            raise ValueError(f"line {number} has {line.count(',') + 1} values instead of {len(names)}; is it cut?")
    by_split: dict[str, list[str]] = {}
    for line in lines[1:]:
        by_split.setdefault(line.split(",")[names.index("split")], []).append(line)
    return {split: _items(split, names, rows) for split, rows in by_split.items()}


def _items(split: str, names: list[str], rows: list[str]) -> Items:
    import numpy as np

    present = [name for name in (*COLUMNS[1:], "probability") if name in names]
    try:
        table = np.loadtxt(rows, delimiter=",", usecols=[names.index(name) for name in present], ndmin=2)
    except ValueError as error:
        raise ValueError(f"split {split}: {error}") from None
    table = table[np.argsort(table[:, 0], kind="stable")]
    columns = dict(zip(present, table.T, strict=True))
    for name in COLUMNS[1:]:
        if not np.all(np.isfinite(columns[name]) & (columns[name] == np.round(columns[name]))):
            raise ValueError(f"split {split}: a value of {name} is no whole number")
    if len(np.unique(columns["index"])) < len(rows) or columns["index"][0] < 0:
        raise ValueError(f"split {split}: an index is below 0 or stands there twice")
    columns.setdefault("probability", np.full(len(table), np.nan))
    return Items(*(columns[name] for name in (*COLUMNS[1:], "probability")))


def contradictions(folder: Path, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Metrics that the predictions and scores in a folder do not give, each with the reason.

    The training accuracy is not looked at: it may leave out a last incomplete batch, which another order would choose
    otherwise.
    """
    return _accuracies(folder, metrics) | _scores(folder, metrics)


def _accuracies(folder: Path, metrics: Mapping[str, Any]) -> dict[str, str]:
    stated = {name: metrics[name] for name, m in METRICS.items() if m.from_predictions and name in metrics}
    if not stated or not (folder / PREDICTIONS).is_file():
        return {}
    splits, damage = read(folder)
    found = {}
    for name, said in stated.items():
        items = splits.get(METRICS[name].split)
        if damage:
            found[name] = f"{name} cannot be held against its predictions ({damage})"
        elif items is None:
            found[name] = f"{name} cannot be held against its predictions: none are of the split {METRICS[name].split}"
        elif isinstance(said, int | float) and not abs(items.correct.mean() - said) <= ROUNDING:
            found[name] = f"{name} is said to be {said:.6g}, its predictions give {items.correct.mean():.6g}"
    return found


def _scores(folder: Path, metrics: Mapping[str, Any]) -> dict[str, str]:
    """What a judge's scores, answer by answer, do not give of the numbers about them."""
    path = folder / SCORES
    if "judge_score" not in metrics or not path.is_file():
        return {}
    try:
        scores = [item["score"] for item in read_json(path)["items"]]
        read = [score for score in scores if score is not None]
        gives = {
            "judge_score": sum(read) / len(read) if read else None,
            "judge_scored": len(read),
            "judge_unparsed": len(scores) - len(read),
        }
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        told = f"{SCORES}: {type(error).__name__}: {' '.join(str(error).split())[:80]}"
        return {"judge_score": f"judge_score cannot be held against its scores ({told})"}
    return {
        name: f"{name} is said to be {metrics[name]}, its scores give {value}"
        for name, value in gives.items()
        if name in metrics and not _equal(metrics[name], value)
    }


def _equal(said: Any, gives: float | None) -> bool:
    if said is None or gives is None or not isinstance(said, int | float):
        return said is None and gives is None
    return abs(said - gives) <= ROUNDING * max(1.0, abs(gives))
