"""The files of data sets, read and checked, one function a kind; needs no torch."""

import json
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
