"""What every value must be, whatever the task: numbers that are finite, and a place that a run cannot leave."""

import math
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

LONGEST_NAME, LONGEST_PART = 120, 255
"""Characters of a run's name; bytes of a part of a path, beyond which file systems refuse it."""
LARGEST, LARGEST_SEED = 10**9, 2**63 - 1
"""Whole numbers: of nothing that is counted here could there be more; and what a generator takes for a seed."""
LARGEST_FLOAT = 3.4e38
"""Beyond it, 32 bits hold no number."""


def check(values: Mapping[str, Any]) -> None:
    """Check a flat configuration: all its numbers, and where it says that the run is kept.

    Raises:
        ValueError: says the key, what was given and what is possible.
    """
    for key, value in values.items():
        _number(key, value)
    if isinstance(name := values.get("name"), str) and name != "???":
        check_name(name)
    if isinstance(out := values.get("out"), str):
        check_out(out)


def _number(key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            _number(f"{key}.{inner}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            _number(key, item)
    elif isinstance(value, float) and not abs(value) <= LARGEST_FLOAT:
        limit = f", at most {LARGEST_FLOAT:g}" if math.isfinite(value) else ""
        raise ValueError(f"{key}={value}: must be a finite number{limit}")
    elif isinstance(value, int):
        # what was printed is computed with nowhere
        any_size = "seed" in key.rpartition(".")[2] or key.startswith("claims.")
        largest = LARGEST_SEED if any_size else LARGEST
        if abs(value) > largest:
            raise ValueError(f"{key}={value}: must be a whole number from -{largest} to {largest}")


def at_least(least: int, owner: object, *keys: str, prefix: str = "") -> None:
    """Fields of a configuration that count something; `prefix` stands before them on the command line.

    Raises:
        ValueError: one is below `least`.
    """
    for key in keys:
        if getattr(owner, key) < least:
            raise ValueError(f"{prefix}{key}={getattr(owner, key)}: must be at least {least}")


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether what was read or stated is a number; `true` and `false` are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_name(name: str) -> None:
    """A run's name is one folder below `out`.

    Raises:
        ValueError: it is none, or names another place.
    """
    possible = "possible: a text without /, \\ and control characters, as in name=mine"
    if not name.strip() or name != name.strip():
        raise ValueError(f"name={name!r}: must not be empty, or begin or end with a space; {possible}")
    if name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"name={name!r}: a run's name is one folder below out; {possible} (out=FOLDER says where)")
    _printable("name", name, possible)
    if len(name) > LONGEST_NAME or len(os.fsencode(name)) > LONGEST_PART - 55:
        raise ValueError(f"name={name[:40]!r}...: {len(name)} characters; possible: up to {LONGEST_NAME}")


def check_out(out: str) -> None:
    """`out` is a folder, or can become one.

    Raises:
        ValueError: it is empty, no path, or a file is in its way.
    """
    if not out.strip():
        raise ValueError(f"out={out!r}: must name a folder; possible: out=outputs")
    _printable("out", out, "possible: a folder's path")
    if any(len(os.fsencode(part)) > LONGEST_PART for part in Path(out).parts):
        raise ValueError(f"out={out[:40]!r}...: a folder's name has at most {LONGEST_PART} bytes")
    for folder in (Path(out), *Path(out).parents):
        if _there(out, folder):
            if not folder.is_dir():
                raise ValueError(f"out={out}: {folder} is a file; possible: a folder, or a path where none is yet")
            return


def _there(out: str, folder: Path) -> bool:
    try:
        folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ValueError(f"out={out[:200]}: cannot be looked at ({error.strerror}); possible: another folder") from None
    return True


def _printable(key: str, text: str, possible: str) -> None:
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(f"{key}={text[:80]!r}: holds the character {character!r}; {possible}")
