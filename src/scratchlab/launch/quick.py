"""What Hydra would compose, put together from the files of the options, in a hundredth of its time.

Verdicts, plans and reports hold runs against every experiment, and Hydra takes a fifth of a second for each. The files
here use little of what Hydra can do. Where there is more, `NotQuickly` is raised, and Hydra composes; mistakes are left
to it as well, for its messages. A test holds every experiment, task and option against Hydra's result.
"""

import copy
import dataclasses
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scratchlab.book import experiments
from scratchlab.files import dotted
from scratchlab.launch.expansion import parsed
from scratchlab.launch.options import CONF, groups
from scratchlab.runs.checks import check
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

Values = dict[str, Any]
"""Values by dotted key, as files or words give them."""
WHOLE = ("claims",)
"""Keys whose values are not spread over dotted ones."""
MISSING = "???"


class NotQuickly(Exception):
    """This has to be composed by Hydra: because of a word, or of what it shares with others where that is empty."""

    def __init__(self, word: str = "") -> None:
        super().__init__(word)
        self.word = word


def compose(words: Iterable[str]) -> Run:
    """The run that overrides mean; nobody else has it.

    Raises:
        NotQuickly: Hydra has to be asked.
        ValueError: values that do not go together, as Hydra's composition ends too.
    """
    words = tuple(words)
    are = {word: sets_value(word) for word in words}
    try:
        task, said = of_options(tuple(word for word in words if not are[word]))
        typed = of_task(task)
        return copy.deepcopy(typed.run(typed.values(said), [word for word in words if are[word]]))
    except Exception as error:
        if type(error) is ValueError:
            raise
        raise NotQuickly from error


def sets_value(word: str) -> bool:
    """Whether a word sets a value and chooses no option."""
    key = word.partition("=")[0]
    plain = "=" in word and key.replace(".", "").isidentifier() and "${" not in word
    return plain and key not in groups() and not key.startswith("hydra.")


def of_options(words: Iterable[str]) -> tuple[str, Values]:
    """The task, and what the files of the options say that words choose, in the order in which Hydra reads them."""
    typed: dict[str, str] = {}
    for word in words:
        group, _, option = word.partition("=")
        if group in typed or group not in groups() or not re.fullmatch(r"\w+", option) or option == "null":
            raise NotQuickly
        typed[group] = option
    experiment = experiments.read_named(typed["experiment"]) if "experiment" in typed else None
    if experiment is None and "experiment" in typed:
        raise NotQuickly
    chosen = _overridden(experiment.content.get("defaults", []) if experiment else []) | typed
    task, debug = chosen.setdefault("task", "list"), chosen.setdefault("debug", "none")
    met: set[str] = {"experiment"}
    parts = [*_of_file("task", task, chosen, met)]
    parts += [spread({"name": experiment.name} | experiment.content)] if experiment else []
    parts += [*_of_file("launch", "local", chosen, met), *_of_file("debug", debug, chosen, met)]
    if (CONF / "debug" / "of_task" / f"{debug}_{task}.yaml").exists():
        parts += _of_file("debug/of_task", f"{debug}_{task}", chosen, met)
    if set(chosen) - met:
        raise NotQuickly  # the task does not choose from such a group
    return task, {key: value for part in parts for key, value in part.items()}


def _overridden(defaults: Iterable[Any]) -> dict[str, str]:
    """The options that an experiment chooses, by group."""
    chosen: dict[str, str] = {}
    for entry in defaults:
        ((key, option),) = entry.items() if isinstance(entry, dict) and len(entry) == 1 else [("", "")]
        if not key.startswith("override /") or not isinstance(option, str):
            raise NotQuickly
        chosen[key.removeprefix("override /")] = option
    return chosen


def _of_file(group: str, option: str, chosen: dict[str, str], met: set[str], package: str = "") -> Iterator[Values]:
    """What an option's file and those that it names say; `met` gains the groups they choose from."""
    met.add(group)
    content, header = _file(CONF / group / f"{chosen.get(group, option)}.yaml")
    place = package or header or group.replace("/", ".")
    own = {key: value for key, value in content.items() if key != "defaults"}
    for entry in [*content.get("defaults", []), *(() if "_self_" in content.get("defaults", []) else ("_self_",))]:
        match entry:
            case "_self_":
                yield spread(own if place == "_global_" else {place: own})
            case str() if entry.startswith("/schema/"):
                pass
            case str() if re.fullmatch(r"\w+", entry):
                yield from _of_file(group, entry, {}, met)
            case dict() if len(entry) == 1:
                ((key, value),) = entry.items()
                inner, _, at = key.partition("@")
                if not re.fullmatch(r"/\w+", inner) or not isinstance(value, str):
                    raise NotQuickly
                # what stands at a place of its own is chosen by group@place, which no plain word does
                yield from _of_file(
                    inner[1:], value, {} if at else chosen, set() if at else met, at and f"{place}.{at}"
                )
            case _:
                raise NotQuickly


def spread(content: Any) -> Values:
    """A file's content by dotted key; what it says to Hydra is not about the run."""
    own = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    if "${" in str(own):
        raise NotQuickly  # a value depends on others
    return dotted(own, keep=WHOLE)


def _file(path: Path) -> tuple[dict[str, Any], str]:
    """An option's content, and the package that its first lines name."""
    try:
        there = path.stat()
    except OSError:
        raise NotQuickly from None
    return _read(path, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=1024)
def _read(path: Path, changed: int, size: int) -> tuple[dict[str, Any], str]:
    text = path.read_text(encoding="utf-8")
    content: Any = OmegaConf.to_container(OmegaConf.create(text))
    header = re.match(r"(?:#[^\n]*\n)*?#\s*@package\s+(\S+)", text)
    return content, header[1] if header else ""


@cache
def of_task(task: str) -> "Typed":
    """What makes runs of a task."""
    if task not in TASKS:
        raise NotQuickly
    return Typed(TASKS[task].schema())


class Typed:
    """Makes runs of one type from values; each value is given to OmegaConf once, whatever the number of runs."""

    def __init__(self, schema: type[Run]) -> None:
        strict = OmegaConf.merge(OmegaConf.structured(schema), _parts(schema))
        assert isinstance(strict, DictConfig)
        leaves: Any = OmegaConf.to_container(strict)
        self._strict, self._leaves = strict, dotted(leaves, keep=WHOLE)
        whole = OmegaConf.structured(schema)
        self._needed = {str(key) for key in whole if OmegaConf.is_missing(whole, key)}
        """Parts and values that must be given."""
        self._example: Run | None = None
        self._set: Values = {}
        """Values that the example has otherwise than its type."""
        self._known: dict[tuple[str, str], Any] = {}

    def values(self, said: Values) -> Values:
        """What files say, as the types of the keys have it.

        Raises:
            NotQuickly: one of the values, or its place, is more than this knows.
        """
        return {key: self._value(key, value) for key, value in said.items()}

    def run(self, values: Values, words: Iterable[str] = ()) -> Run:
        """The run with what `values` gave and what words say; others made here may share parts of it.

        Raises:
            NotQuickly: one of the words is more than this knows.
            ValueError: values that do not go together.
        """
        given = dict(map(self._said_by, words))
        wanted = {**values, **given}
        if not self._needed <= {key.partition(".")[0] for key in wanted}:
            raise NotQuickly(" ".join(given))
        if self._example is None:
            check({key: value for key, value in {**self._leaves, **wanted}.items() if key not in WHOLE})
            example = copy.deepcopy(self._strict)
            for key, value in wanted.items():
                OmegaConf.update(example, key, value)
            config = OmegaConf.to_object(example)
            assert isinstance(config, Run)
            self._example, self._set = config, wanted
            return config
        before, after = {**self._leaves, **self._set}, {**self._leaves, **wanted}
        # the values of a key that are the same are one object, see `_value`
        changed = {key: after[key] for key in {**self._set, **wanted} if after[key] is not before[key]}
        if MISSING in changed.values():
            raise NotQuickly(" ".join(given))
        check({key: value for key, value in changed.items() if key not in WHOLE})
        return _replaced(self._example, changed)

    def _said_by(self, word: str) -> tuple[str, Any]:
        override = parsed(word)
        key = override.key_or_group
        plain = override.type is OverrideType.CHANGE and override.package is None and key in self._leaves
        if not plain or override.is_sweep_override() or key in WHOLE:
            raise NotQuickly(word)
        return key, self._value(key, override.value(), word)

    def _value(self, key: str, value: Any, word: str = "") -> Any:
        """A value as the type of its key has it."""
        place = (key, repr(value))
        if place not in self._known:
            if key not in self._leaves or value == MISSING:
                raise NotQuickly(word)
            try:
                OmegaConf.update(self._strict, key, value)
                found = OmegaConf.select(self._strict, key, throw_on_missing=False)
                self._known[place] = OmegaConf.to_object(found) if OmegaConf.is_config(found) else found
            except OmegaConfBaseException as error:
                raise NotQuickly(word) from error
            finally:
                OmegaConf.update(self._strict, key, self._leaves[key])
        return self._known[place]


def _parts(schema: type) -> dict[str, Any]:
    """The dataclasses in a dataclass, as an empty mapping each, so that those that must be given are there as well."""
    hints = get_type_hints(schema)
    kinds = {field.name: hints[field.name] for field in dataclasses.fields(schema)}
    return {
        key: _parts(kind) for key, kind in kinds.items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }


def _replaced(config: Any, changes: Values) -> Any:
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
