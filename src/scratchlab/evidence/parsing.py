"""The two files of a record, whatever state they are in: what they say, or what is wrong with them in one line each."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from scratchlab.book import claims
from scratchlab.files import read_json, read_yaml, with_numbers
from scratchlab.runs import record
from scratchlab.runs.claim import Claim, ClaimKind
from scratchlab.runs.metrics import METRICS, Unit

STATES = ("done", "failed", "interrupted")
LARGEST = 3.4028235e38
"""Of float32: no run measures more."""
DEEPEST = 40
"""Mappings and lists in each other; a file that refers to itself has no end."""

TEXTS, NUMBERS, MAPPINGS, OF_TEXTS = (
    ("name", "task", "status", "error", "fingerprint", "started", "device"),
    ("seconds",),
    ("metrics", "changes", "git"),
    ("hashes", "no_effect", "choices", "versions"),
)
"""The fields of a result by what they are."""
NUMBER_UNITS = (Unit.fraction, Unit.points, Unit.nats, Unit.bits, Unit.ratio)
"""Of what has one of these units, every metric is one number, unless it is declared to be a table."""


def config(folder: Path) -> tuple[dict[str, Any], str]:
    """The configuration of a record, nested, and what is wrong with its file; then it is empty. Both empty: no file."""
    path = folder / record.CONFIG
    if not path.is_file():
        return {}, ""
    try:
        found = read_yaml(path)
        if not isinstance(found, dict):
            return {}, f"{record.CONFIG} is no mapping but {_what(found)}"
        return _with_text_keys(found), ""
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        return {}, f"{record.CONFIG} cannot be read: {_line(error)}"


def result(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """The result of a record and what is wrong with its file; None where there is no file."""
    path = folder / record.RESULT
    if not path.is_file():
        return None, ""
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            return {}, f"{record.RESULT} is no mapping but {_what(found)}"
        found = {key: value for key, value in _with_text_keys(found).items() if value is not None or key == "seed"}
    except (ValueError, OSError, RecursionError) as error:
        return {}, f"{record.RESULT} cannot be read: {_line(error)}"
    problems = [problem for key in found if (problem := field_problem(key, found[key]))]
    problems += [f"{key} is missing" for key in ("status", "metrics") if key not in found]
    return found, f"{record.RESULT}: {'; '.join(problems)}" if problems else ""


def field_problem(key: str, value: Any) -> str:
    """What is wrong with a field of the result; empty if nothing is."""
    wanted = ""
    if key in ("seed", "revision"):
        wanted = "" if is_whole(value) else "a whole number"
    elif key in TEXTS:
        wanted = "" if isinstance(value, str) else "a text"
    elif key in NUMBERS:
        wanted = "" if is_number(value) and math.isfinite(value) else "a finite number"
    elif key in (*MAPPINGS, *OF_TEXTS) and not isinstance(value, dict):
        wanted = "a mapping"
    elif key in OF_TEXTS:
        wanted = "" if all(isinstance(item, str) for item in value.values()) else "a mapping of texts"
    elif key == "git":
        wanted = "" if isinstance(value.get("commit"), str | None) else "a mapping with the commit as a text"
    if not wanted and key == "status" and value not in STATES:
        wanted = "one of " + ", ".join(STATES)
    if not wanted and key == "name" and not (value and value.isprintable()):
        wanted = "one line of text"
    return f"{key} is {_what(value)}, must be {wanted}" if wanted else ""


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_number(value: Any) -> bool:
    """Whether it is a number that Python's float can hold; NaN and infinity are."""
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < int(LARGEST)
    )


def metrics(stated: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The metrics that can be what they are declared to be, and the reason for each of the others."""
    kept, wrong = {}, {}
    for name, value in with_numbers(stated).items():
        declared = METRICS.get(name)
        problem, single = "", declared is not None and declared.unit in NUMBER_UNITS and not declared.table
        if value is not None and single and not is_number(value):
            problem = "it must be one number"
        elif _beyond(value):
            problem = "no run measures more than 3.4e38"
        elif declared is not None and declared.items and is_number(value) and not _share(value):
            problem = "it must lie between 0 and 1"
        if problem:
            wrong[name] = f"{name} is {_what(value)}: {problem}"
        else:
            kept[name] = value
    return kept, wrong


def _share(value: float) -> bool:
    return not math.isfinite(value) or 0 <= value <= 1


def _beyond(value: Any) -> bool:
    """Whether there is a number in it that is finite and beyond float32."""
    if isinstance(value, dict):
        return any(map(_beyond, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_beyond, value))
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) > LARGEST
    return isinstance(value, int) and abs(value) > int(LARGEST)


def stated_claims(entries: Any, where: str) -> tuple[tuple[dict[str, Any], ...], str]:
    """The claims that a record carries, and what is wrong with them; then there are none."""
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, dict) for entry in entries):
        return (), f"claims are {_what(entries)}, must be a list of mappings"
    try:
        for entry in entries:
            _check(claims.parse(_texts_kept(entry), where))
    except (ValueError, TypeError) as error:
        return (), f"claims: {_line(error)}"
    return tuple(entries), ""


def _texts_kept(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = {part.name: part for part in fields(Claim)}
    for key, value in entry.items():
        part = kinds.get(str(key))
        if part is not None and part.default is not MISSING and part.type is int and not is_whole(value):
            raise ValueError(f"{key} is {_what(value)}, must be a whole number")
        if part is not None and (part.type is str or key in ("kind", "direction")) and not isinstance(value, str):
            raise ValueError(f"{key} is {_what(value)}, must be a text")
    return entry


def _check(claim: Claim) -> None:
    single = claim.kind in (ClaimKind.score, ClaimKind.count, ClaimKind.ratio)
    if single and claim.value is not None and not (is_number(claim.value) and math.isfinite(claim.value)):
        raise ValueError(f"{claim.metric}: value is {_what(claim.value)}, must be a finite number")
    numbers = (claim.tolerance, claim.probability, claim.max_halfwidth, claim.margin)
    if not all(map(math.isfinite, numbers)) or _beyond(claim.value) or not _finite(claim.value):
        raise ValueError(f"{claim.metric}: every number of a claim must be finite")


def _finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def unfit(claim: Claim, value: Any) -> str:
    """Why a measured value cannot be held against a claim of this kind; empty if it can, or has diverged."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    match claim.kind:
        case ClaimKind.score | ClaimKind.relation | ClaimKind.finding | ClaimKind.ratio:
            fits, wanted = is_number(value), "one number"
        case ClaimKind.count:
            fits, wanted = is_whole(value) and 0 <= value <= claim.n, f"a whole number from 0 to {claim.n}"
        case ClaimKind.close:
            fits, wanted = _finite(value), "finite numbers"
        case ClaimKind.exact:
            return ""
    return "" if fits else f"{claim.metric} is {_what(value)}, must be {wanted}"


def _with_text_keys(value: Any, depth: int = 0) -> Any:
    """The same with texts as keys, as a configuration has them.

    Raises:
        ValueError: it is nested without end.
    """
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} times")
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item, depth + 1) for key, item in value.items()}
    return [_with_text_keys(item, depth + 1) for item in value] if isinstance(value, list) else value


def _what(value: Any) -> str:
    """A value in a message: short, on one line."""
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = " ".join(repr(value).split())
    return text if len(text) <= 50 else f"{text[:47]}..."


def _line(error: BaseException) -> str:
    """An error in a message, on one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
