"""What an arm is called in tables and plots: by the choices that tell it from the others, short and distinct."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from scratchlab.book import experiments
from scratchlab.runs.registry import TASKS

LONGEST_VALUE = 28
UNALTERED = "unaltered"
"""An arm of which nothing was chosen that any of the others has otherwise."""


class _Run(Protocol):
    @property
    def task(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def choices(self) -> dict[str, str]: ...
    @property
    def changes(self) -> dict[str, Any]: ...


class _Arm(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def runs(self) -> Sequence[_Run]: ...


def labels(found: Sequence[_Arm]) -> list[str]:
    """One label an arm, distinct within each task; the name is left out where all arms of the task share it."""
    texts = [""] * len(found)
    for task in dict.fromkeys(arm.runs[0].task for arm in found):
        places = [place for place, arm in enumerate(found) if arm.runs[0].task == task]
        names = [found[place].name for place in places]
        for name in dict.fromkeys(names):
            ours = [place for place in places if found[place].name == name]
            told = _told([found[place] for place in ours])
            for place, text in zip(ours, told, strict=True):
                alone = len(set(names)) == 1
                texts[place] = (text or UNALTERED) if alone and len(ours) > 1 else ", ".join(filter(None, (name, text)))
    return texts


def _told(namesakes: Sequence[_Arm]) -> list[str]:
    """What tells arms of one name apart; for an only one, nothing."""
    if len(namesakes) == 1:
        return [""]
    return _distinct([_joined(values) for values in levels(namesakes)], namesakes)


def levels(found: Sequence[_Arm]) -> list[dict[str, str | None]]:
    """What each arm has of the choices that are not the same in all; None where that cannot be said."""
    chosen = [_choices(arm) for arm in found]
    keys = [key for key in dict.fromkeys(key for one in chosen for key in one) if _differs(key, found, chosen)]
    return [{key: _value(arm, key, one) for key in keys} for arm, one in zip(found, chosen, strict=True)]


def _choices(arm: _Arm) -> dict[str, str]:
    """What was typed for an arm; where no record says so, what it sets otherwise than published."""
    typed = next((run.choices for run in arm.runs if run.choices), None)
    if typed is not None:
        return {key.lstrip("+"): value for key, value in typed.items()}
    return {key: _text(value) for key, value in arm.runs[0].changes.items()}


def _differs(key: str, arms: Sequence[_Arm], chosen: Sequence[Mapping[str, str]]) -> bool:
    return len({_value(arm, key, one) for arm, one in zip(arms, chosen, strict=True)}) > 1


def _value(arm: _Arm, key: str, chosen: Mapping[str, str]) -> str | None:
    """What an arm has of a choice, typed or not; None where that cannot be said."""
    if key in chosen:
        return chosen[key]
    if key in arm.config:
        return _text(arm.config[key])
    return _options(arm.name, arm.runs[0].task).get(key)


@cache
def _options(name: str, task: str) -> dict[str, str]:
    """The options that an experiment takes as it comes, by group."""
    taken = experiments.task_options(task) if task in TASKS else {}
    named = experiments.read_named(name)
    return taken | named.defaults if named else taken


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _joined(values: Mapping[str, str | None]) -> str:
    """`prompt=phi3, mask`: keys without the part of the configuration they stand in, as far as they stay distinct."""
    lasts = [key.split(".")[-1] for key in values]
    words = []
    for key, value in values.items():
        last = key.split(".")[-1]
        word = last if lasts.count(last) == 1 else key
        if value in ("true", "false"):
            first = word.split("_")[0]
            short = first if len(first) > 3 and [one.split("_")[0] for one in lasts].count(first) == 1 else word
            words.append(short if value == "true" else f"no {short}")
        elif value is not None:
            words.append(f"no {word.lstrip('~')}" if key.startswith("~") else f"{word}={_short(value)}")
    return ", ".join(words)


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LONGEST_VALUE else f"{line[: LONGEST_VALUE - 3]}..."


def _distinct(texts: Sequence[str], arms: Sequence[_Arm]) -> list[str]:
    """The same, with what else differs where two are alike; at last with the fingerprint."""
    found = list(texts)
    for more in (_settings, lambda arm, others: f"run {arm.runs[0].fingerprint[:6]}"):
        for text in {text for text in found if found.count(text) > 1}:
            alike = [place for place, other in enumerate(found) if other == text]
            others = [arms[place] for place in alike]
            for place in alike:
                found[place] = ", ".join(filter(None, (text, more(arms[place], others))))
    return found


def _settings(arm: _Arm, others: Sequence[_Arm]) -> str:
    return _joined({key: _text(arm.config[key]) if key in arm.config else None for key in differing(others)})


def differing(found: Sequence[_Arm]) -> list[str]:
    """The configuration keys whose values are not the same in all arms."""
    keys = list(dict.fromkeys(key for arm in found for key in arm.config))
    return [key for key in keys if len({json.dumps(arm.config.get(key), default=str) for arm in found}) > 1]
