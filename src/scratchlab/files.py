"""Files: whole or not at all, JSON and YAML as every file of a run holds them, and those that come with the package."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

PACKAGE = Path(__file__).parent
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""YAML's C loader, ten times faster, where it was built."""


@contextmanager
def in_one_step(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what was written there takes its place, unless something went wrong."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> Path:
    """Write a text in one step; returns its path."""
    with in_one_step(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def to_json(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """JSON knows no NaN and no infinity: they become the texts that Python's float() reads."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=default)


def as_json(value: Any) -> str:
    """A whole file of JSON; what JSON has no form for becomes text."""
    return to_json(value, indent=1, default=str) + "\n"


def read_json(path: Path) -> Any:
    """A file of JSON that can be read in one way only.

    Raises:
        ValueError: it is no JSON, or a mapping in it has a key twice.
        OSError: it cannot be read.
    """
    return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)


class _Once(LOADER):  # type: ignore[misc, valid-type]
    """YAML in which no mapping has a key twice; the format forbids it, and the loader as it comes takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        met: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in met:
                problem = f"the key {key.value[:40]!r} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            met.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """A file of YAML that can be read in one way only.

    Raises:
        yaml.YAMLError: it is no YAML, or a mapping in it has a key twice.
        OSError: it cannot be read.
    """
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"the key {twice[:40]!r} stands there twice")
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def with_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `to_json` wrote as texts, as the numbers that it was."""
    return {key: float(value) if value in ("nan", "inf", "-inf") else value for key, value in values.items()}


def dotted(values: Mapping[str, Any], keep: tuple[str, ...] = (), prefix: str = "") -> dict[str, Any]:
    """Spread nested mappings into dotted keys; the mappings named in `keep` stay whole."""
    flat: dict[str, Any] = {}
    for key, item in values.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and name not in keep:
            flat |= dotted(item, keep, f"{name}.")
        else:
            flat[name] = item
    return flat


def resource(name: str) -> Path:
    """A folder that the wheel carries inside the package and a checkout has at its root.

    Raises:
        FileNotFoundError: neither is there.
    """
    for folder in (PACKAGE / name, PACKAGE.parents[1] / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"no {name}/ beside the package {PACKAGE} or two folders up; is the installation complete?")


def size(number: float) -> str:
    """Bytes in the unit that leaves the number short."""
    units = ["bytes", "KiB", "MiB", "GiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{number:.0f} {units[0]}" if number >= 10 or units[0] == "bytes" else f"{number:.1f} {units[0]}"
