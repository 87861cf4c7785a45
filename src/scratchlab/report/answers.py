"""Responses of several instruction runs to the same entries, side by side."""

import json
from collections.abc import Sequence
from typing import Any

from scratchlab.evidence.runs import Arm

FILE = "responses.json"
MOST_ARMS, LONGEST = 6, 700
"""Arms beside each other on a page; characters of a text."""


def side_by_side(arms: Sequence[Arm], most: int) -> list[dict[str, Any]]:
    """Entries that the arms' runs of one seed all answered, those first on whose answers they differ most.

    Empty where fewer than two arms have answers, or no entry is common to them.
    """
    common = sorted(set.intersection(*(set(arm.seeds) for arm in arms))) if arms else []
    if not common:
        return []
    found = {arm.label: _answers(arm, common[0]) for arm in arms}
    found = {label: answers for label, answers in list(found.items()) if answers}
    if len(found) < 2:
        return []
    found = dict(list(found.items())[:MOST_ARMS])
    shared = [key for key in next(iter(found.values())) if all(key in answers for answers in found.values())]
    lines: list[dict[str, Any]] = []
    for key in shared:
        entry = next(iter(found.values()))[key]
        responses = {label: _cut(answers[key]["model_response"]) for label, answers in found.items()}
        lines.append(
            {
                "instruction": _cut(entry["instruction"]),
                "input": _cut(entry.get("input", "")),
                "output": _cut(entry.get("output", "")),
                "seed": common[0],
                "responses": responses,
                "different": len(set(responses.values())),
            }
        )
    return sorted(lines, key=lambda line: line["different"], reverse=True)[:most]


def _answers(arm: Arm, seed: int) -> dict[tuple[str, str], dict[str, Any]]:
    """By instruction and input; none where there is no file of answers, or it is none."""
    path = arm.run(seed).folder / FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {(e["instruction"], e.get("input", "")): e for e in entries if isinstance(e["model_response"], str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
