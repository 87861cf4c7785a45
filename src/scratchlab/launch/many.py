"""Compose thousands of jobs at once: what they have in common is composed once, and values are put into it.

Hydra takes a tenth of a second for a job. Jobs that choose the same options differ only in values, and a value has the
same effect in each of them; so each value is given to OmegaConf once, and every job is put together from the results.
"""

import copy
import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scratchlab.files import dotted
from scratchlab.launch import compose, jobs
from scratchlab.launch.expansion import parsed
from scratchlab.launch.jobs import Job
from scratchlab.launch.options import groups
from scratchlab.runs import record
from scratchlab.runs.checks import check
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

Words = tuple[str, ...]
LOOKED_INTO = 20
"""Jobs with mistakes that are composed once more, as slowly as Hydra does, for the best message."""


def compose_all(splits: Sequence[Words], first: Words = ()) -> list[Job | Exception]:
    """A job, or what is wrong with it, for the overrides of each; `first` stands before those when they are composed.

    The same as `jobs.job` gives for each of them.
    """
    templates: dict[Words, Template] = {}
    found: list[Job | Exception] = []
    known: dict[tuple[Words, str], Exception] = {}
    """What Hydra said of a word that has no place in what it composed from others."""
    wrong = 0
    with jobs.at_hand():
        values_are = _values_are(splits)
        for words in splits:
            base = tuple(word for word in words if not values_are[word])
            template = templates.setdefault(base, Template((*first, *base)))
            told: Exception
            try:
                found.append(template.job(words, tuple(word for word in words if values_are[word])))
                continue
            except _NotQuickly as slow:
                place, told = (base, slow.word), known.get((base, slow.word), slow)
            except Exception as error:
                place, told = None, error
            wrong += place is None
            if isinstance(told, _NotQuickly) or (place is None and wrong <= LOOKED_INTO):
                try:
                    found.append(dataclasses.replace(jobs.job((*first, *words)), overrides=words))
                    continue
                except Exception as error:
                    told = error
                if place is not None:
                    known[place] = told
            found.append(told)
    return found


class _NotQuickly(Exception):
    """This job has to be composed by Hydra: because of a word, or of what it shares with others where that is empty."""

    def __init__(self, word: str) -> None:
        self.word = word


def _values_are(splits: Iterable[Words]) -> dict[str, bool]:
    """For each word, whether it sets a value and chooses no option."""
    choose = set(groups())
    found: dict[str, bool] = {}
    for words in splits:
        for word in words:
            if word not in found:
                key = word.partition("=")[0]
                found[word] = "=" in word and key not in choose and key.replace(".", "").isidentifier()
                found[word] = found[word] and not key.startswith("hydra.") and "${" not in word
    return found


class Template:
    """What jobs that choose the same options share, and what each value does to it."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.set: dict[str, Any] = {}
        """Values that the example has otherwise than the composition, by key."""
        self.example: Run | None = None
        self._values: dict[str, Any] = {}
        self._of_no_use = False

    @cached_property
    def _composed(self) -> tuple[str, DictConfig, dict[str, Any]]:
        """The task, the strict configuration without any values set, and its leaves."""
        if self._of_no_use:
            raise _NotQuickly("")
        self._of_no_use = True  # unless this comes to its end
        try:
            composed = compose.untyped(list(self.words))
        except Exception as error:
            raise _NotQuickly("") from error
        task = compose.choices_of(composed)["task"]
        raw = OmegaConf.to_container(compose.own(composed), resolve=False)
        if "${" in str(raw):
            raise _NotQuickly("")  # a value depends on others
        strict = OmegaConf.merge(OmegaConf.structured(TASKS[task].schema()), raw)
        assert isinstance(strict, DictConfig)
        leaves: Any = OmegaConf.to_container(strict)
        self._of_no_use = False
        return task, strict, dotted(leaves, keep=("claims",))

    def job(self, words: Words, values: Words) -> Job:
        """A job with these values.

        Raises:
            ValueError: values that do not go together.
            Exception: something is wrong, or not to be had this way.
        """
        wanted = {parsed(word).key_or_group: self._value(word) for word in values}
        if len(wanted) < len(values):
            raise _NotQuickly(" ".join(words))  # a key is set twice
        if self.example is None:
            _, strict, leaves = self._composed
            example = copy.deepcopy(strict)
            for key, value in wanted.items():
                OmegaConf.update(example, key, value)
            check({key: value for key, value in {**leaves, **wanted}.items() if key != "claims"})
            config = OmegaConf.to_object(example)
            assert isinstance(config, Run)
            self.example, self.set = config, wanted
        else:
            leaves = self._composed[2]
            changed = {key: wanted.get(key, leaves[key]) for key in {**self.set, **wanted}}
            if any(value == "???" for value in changed.values()):
                raise _NotQuickly(" ".join(words))  # a value that must be given is missing
            check(changed)
            config = _replaced(self.example, changed)
        return Job(words, config, record.folder_of(config), jobs.choices(words, type(config)))

    def _value(self, word: str) -> Any:
        """What a word makes of its key: a value of the type that the key has."""
        if word not in self._values:
            override = parsed(word)
            key = override.key_or_group
            _, strict, leaves = self._composed
            plain = override.type is OverrideType.CHANGE and override.package is None and key in leaves
            if not plain or override.is_sweep_override() or key == "claims":
                raise _NotQuickly(word)
            before = leaves[key]
            try:
                OmegaConf.update(strict, key, override.value())
                self._values[word] = _read(strict, key)
            except OmegaConfBaseException as error:
                raise _NotQuickly(word) from error
            finally:
                OmegaConf.update(strict, key, before)
        return self._values[word]


def _read(strict: DictConfig, key: str) -> Any:
    value = OmegaConf.select(strict, key)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _replaced(config: Any, changes: dict[str, Any]) -> Any:
    """A copy of a dataclass with other values, by dotted key; its checks are made again where something is changed."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            own[key] = value
    for head, values in inner.items():
        own[head] = _replaced(getattr(config, head), values)
    return dataclasses.replace(config, **own) if own else config
