"""The files of data sets, read and checked, one function a kind; needs no torch."""

import csv
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LABELS = {"ham": 0, "spam": 1}

Entry = dict[str, str]
KEYS = ("instruction", "input", "output")


def messages(path: Path) -> "pd.DataFrame":
    """Read labelled messages as the book does, columns Label and Text: default quoting makes 5,572 rows of 5,574 lines.

    Raises:
        ValueError: not a label and a text, separated by a tab, in every row.
    """
    import pandas as pd

    frame = pd.read_csv(path, sep="\t", header=None, names=["Label", "Text"])
    for column, wrong in (("Label", ~frame["Label"].isin(LABELS)), ("Text", frame["Text"].isna())):
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise ValueError(
                f"{path}, row {row} (from 0): its {column} is {frame[column].iloc[row]!r:.100}; "
                f"must be {' or '.join(LABELS)}, a tab, and a text"
            )
    return frame


SPLITS = ("train", "val", "test")


@lru_cache(maxsize=8)
def _table(path: Path, _written: int, text: str, label: str, split: str) -> "pd.DataFrame":
    import pandas as pd

    columns = {"Text": text, "Label": label} | ({"Split": split} if split else {})
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            found = table.fieldnames or []
            if lacking := [f"data.{key}={name}" for key, name in _keys(text, label, split) if name not in found]:
                raise ValueError(f"{path}: {', '.join(lacking)}: no such column; possible: {', '.join(found)}")
            for number, row in enumerate(table, start=1):
                if problem := _row_problem(row, columns):
                    raise ValueError(f"{path}, row {number} (line {table.line_num}, the header is line 1): {problem}")
                rows.append({ours: row[theirs].strip() for ours, theirs in columns.items()})
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error}") from None
    except csv.Error as error:
        raise ValueError(f"{path}, row {len(rows) + 1} (line {table.line_num}): no CSV: {error}") from None
    return pd.DataFrame(rows, columns=list(columns))


def _keys(text: str, label: str, split: str) -> list[tuple[str, str]]:
    return [("text", text), ("label", label), *([("split_column", split)] if split else [])]


def _row_problem(row: dict[str, str], columns: dict[str, str]) -> str:
    if None in row:  # where the csv module puts what is too much
        return "it has more values than the header; a text with commas stands in double quotes"
    for ours, theirs in columns.items():
        if row[theirs] is None:
            return f"it has no {theirs!r}: fewer values than the header"
        if not row[theirs].strip():
            return f"its {theirs!r} is empty"
        if ours == "Split" and row[theirs].strip() not in SPLITS:
            return f"its {theirs!r} is {row[theirs]!r:.60}; possible: {', '.join(SPLITS)}"
    return ""


def labelled(path: Path, text: str, label: str, split: str = "") -> "pd.DataFrame":
    """Read a CSV file with a header (tabs in a .tsv): columns Text, Label and, where `split` names one, Split.

    Raises:
        ValueError: a column is not there, a row lacks a value, a class stands alone; says which and what.
    """
    frame = _table(path, path.stat().st_mtime_ns, text, label, split)
    classes = frame["Label"].nunique()
    if len(frame) < LEAST_ROWS or classes < 2:
        raise ValueError(
            f"{path} has {len(frame)} rows of {classes} classes (data.label={label}); "
            f"needed: {LEAST_ROWS} rows or more, of 2 classes or more"
        )
    if classes > max(MOST_CLASSES, len(frame) // 10):
        some = ", ".join(map(repr, frame["Label"].unique()[:3]))
        raise ValueError(
            f"{path}: data.label={label} has {classes} different values in {len(frame)} rows ({some}, ...); "
            "is it the column of the classes?"
        )
    return frame


LEAST_ROWS, MOST_CLASSES = 20, 10
"""Rows that can be split in three; classes that a small file may have. A large one may have one in ten rows."""


def classes(labels: Sequence[str]) -> tuple[str, ...]:
    """The different labels in their order: numbers by size, then texts."""

    def place(label: str) -> tuple[bool, float, str]:
        try:
            return False, float(label), label
        except ValueError:
            return True, 0.0, label

    return tuple(sorted(set(labels), key=place))


def text(path: Path) -> str:
    """Read a text whole.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error}") from None


def entries(path: Path) -> list[Entry]:
    """Read a JSON list of entries; keys other than instruction, input and output are kept as they are.

    Raises:
        ValueError: no JSON list; or an entry lacks a key, or has something other than text; says which and what.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON file: {error}") from None
    if not isinstance(found, list):
        raise ValueError(f"{path} holds one {type(found).__name__}; must be a list of entries with {', '.join(KEYS)}")
    for index, entry in enumerate(found):
        if problem := _problem(entry):
            raise ValueError(f"{path}, entry {index} (from 0): {problem}: {json.dumps(entry, ensure_ascii=False):.200}")
    return found


def _problem(entry: object) -> str:
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}, not a mapping with {', '.join(KEYS)}"
    for key in KEYS:
        if key not in entry:
            return f"has no {key!r}"
        if not isinstance(entry[key], str):
            return f"its {key!r} is a {type(entry[key]).__name__}, not text"
    return "" if entry["instruction"].strip() else "its 'instruction' is empty"
