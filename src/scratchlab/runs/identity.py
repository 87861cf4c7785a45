"""Which run this is: its fingerprint, and which fields of a configuration count for it.

A field says itself whether it counts, where it stands in its dataclass. Nothing here knows a task.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache, lru_cache
from typing import Any, ClassVar, Protocol, get_type_hints

BOOKKEEPING, AS_BEFORE = "bookkeeping", "as_before"
"""Keys of a field's metadata."""


def bookkeeping(default: Any = MISSING, *, default_factory: Any = MISSING) -> Any:
    """A dataclass field that is no part of the fingerprint: it cannot change what a run measures.

    At a field that holds a configuration, this goes for all fields of that configuration.
    """
    return _field(default, default_factory, {BOOKKEEPING: True})


def added(default: Any = MISSING, *, default_factory: Any = MISSING, as_before: Any = MISSING) -> Any:
    """A dataclass field that came when there were records: it counts only where it changes what runs did before.

    While it has the value `as_before` (the default, unless given), the fingerprint leaves it out, so that runs from
    before it existed are found again.
    """
    if as_before is MISSING:
        as_before = default_factory() if default is MISSING else default
    return _field(default, default_factory, {AS_BEFORE: as_before})


def _field(default: Any, default_factory: Any, metadata: dict[str, Any]) -> Any:
    if default_factory is MISSING:
        return field(default=default, metadata=metadata)
    return field(default_factory=default_factory, metadata=metadata)


@dataclass(frozen=True)
class Marks:
    """What the fields of a configuration say about themselves, by dotted key."""

    bookkeeping: tuple[str, ...]
    """A key stands for all below it."""
    as_before: dict[str, Any]
    """Values, plain, of fields that came later."""


@cache
def marks(schema: type) -> Marks:
    """Read the marks at the fields of a dataclass and of the dataclasses in it."""
    names: list[str] = []
    before: dict[str, Any] = {}
    hints = get_type_hints(schema)
    for part in fields(schema):
        key, kind = part.name, hints[part.name]
        if part.metadata.get(BOOKKEEPING):
            names.append(key)
            continue
        if isinstance(kind, type) and is_dataclass(kind):
            inner = marks(kind)
            names += [f"{key}.{name}" for name in inner.bookkeeping]
            before |= {f"{key}.{name}": value for name, value in inner.as_before.items()}
        if AS_BEFORE in part.metadata:
            value = part.metadata[AS_BEFORE]
            before |= flatten(value, f"{key}.") if is_dataclass(value) else {key: plain(value)}
    return Marks(tuple(names), before)


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Spread a (nested) dataclass into dotted keys and JSON values, enums by name."""
    flat: dict[str, Any] = {}
    for part in fields(config):
        value, key = getattr(config, part.name), f"{prefix}{part.name}"
        if is_dataclass(value):
            flat |= flatten(value, f"{key}.")
        else:
            flat[key] = plain(value)
    return flat


def plain(value: Any) -> Any:
    """Turn enums, dataclasses and containers of them into JSON values."""
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class Configuration(Protocol):
    """What a run's configuration says about its identity besides its fields; see `runs.config.Run`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    task: ClassVar[str]
    revision: ClassVar[int]

    def idle(self) -> dict[str, str]: ...


def acting(flat: Mapping[str, Any], schema: type) -> dict[str, Any]:
    """What can change a number in a flat configuration, as a record may hold it; `schema` is the type it had."""
    found = marks(schema)
    return {
        key: value
        for key, value in flat.items()
        if not _is_bookkeeping(key, schema) and (key not in found.as_before or found.as_before[key] != value)
    }


def as_before(schema: type) -> dict[str, Any]:
    """What a record that is older than a field means by having no such key: plain values by dotted key."""
    return dict(marks(schema).as_before)


@lru_cache(maxsize=4096)
def _is_bookkeeping(key: str, schema: type) -> bool:
    found = marks(schema)
    return any(key == name or key.startswith(f"{name}.") for name in found.bookkeeping)


def matters(config: Configuration, idle: Iterable[str] = ()) -> dict[str, Any]:
    """The flat configuration, less what cannot change a number; what has no effect in this run is at its default."""
    default = {key: _default(config, key) for key in (*config.idle(), *idle)}
    return acting(flatten(config) | default, type(config))


def _default(config: Any, key: str) -> Any:
    *parents, last = key.split(".")
    for parent in parents:
        config = getattr(config, parent)
    (part,) = (part for part in fields(config) if part.name == last)
    if part.default_factory is not MISSING:
        return plain(part.default_factory())
    return None if part.default is MISSING else plain(part.default)  # a field that must be given has none


def fingerprint(config: Configuration, without: tuple[str, ...] = (), idle: Iterable[str] = ()) -> str:
    """Twelve hex digits that two runs share if and only if the same things can act in both.

    `without`: parts of the configuration, such as `judge`, that act only on what is not asked about.
    `idle`: keys that are known to have no effect, besides those that the configuration says itself.
    """
    flat = {key: value for key, value in matters(config, idle).items() if key.split(".")[0] not in without}
    return digest(config.task, config.revision, flat)


def digest(task: str, revision: int, acting: Mapping[str, Any]) -> str:
    """The fingerprint of what acts in a run, as `matters` gives it."""
    content = {"task": task, "revision": revision, "config": {key: _equal(value) for key, value in acting.items()}}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _equal(value: Any) -> Any:
    """Numbers that are equal, as 1 and 1.0, become one, whatever wrote them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _equal(item) for key, item in value.items()}
    return [_equal(item) for item in value] if isinstance(value, list) else value


def changes(config: Configuration, reference: Configuration) -> dict[str, Any]:
    """What `config` sets otherwise than `reference` (the experiment as published), seed and bookkeeping aside."""
    ours, theirs = flatten(config), flatten(reference)
    return {
        key: value
        for key, value in ours.items()
        if theirs.get(key, None) != value and key != "seed" and not _is_bookkeeping(key, type(config))
    }
