"""Every field of every configuration is read: where its part of the configuration, or its type, is known by name."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from test_house import SOURCE

from scratchlab.runs.registry import TASKS


@dataclass
class Known:
    """A field, the classes that have it, and the keys that those stand under."""

    classes: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


def known_fields(schemas: list[type]) -> dict[tuple[str, str], Known]:
    """Every field by the class that declares it and its name."""
    found: dict[tuple[str, str], Known] = {}
    waiting: list[tuple[Any, str]] = [(schema, "") for schema in schemas]
    while waiting:
        kind, key = waiting.pop()
        hints = get_type_hints(kind)
        for part in fields(kind):
            owner = next(c for c in reversed(kind.__mro__) if part.name in getattr(c, "__annotations__", {}))
            known = found.setdefault((owner.__name__, part.name), Known())
            known.classes |= {owner.__name__, kind.__name__}
            known.keys |= {key} - {""}
            inner = (hints[part.name], *get_args(hints[part.name]))
            waiting += [(hint, part.name) for hint in inner if is_dataclass(hint)]
    return found


def reads(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What is read of what, as (last name of what, attribute); the checks at the door are no use of a value."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            base = node.value
            yield getattr(base, "attr", getattr(base, "id", "")), node.attr
        yield from reads(node)


def names(tree: ast.AST) -> Iterator[str]:
    """The classes that a module defines, imports, or names in an annotation."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@cache
def modules() -> list[tuple[frozenset[str], frozenset[tuple[str, str]]]]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(SOURCE).rglob("*.py")]
    return [(frozenset(names(tree)), frozenset(reads(tree))) for tree in trees]


def is_read(name: str, known: Known) -> bool:
    return any(
        any((key, name) in read for key in known.keys)
        or (known.classes & there and any(attribute == name for _, attribute in read))
        for there, read in modules()
    )


def test_every_config_field_is_read_where_its_type_or_its_key_is_known() -> None:
    found = known_fields([task.schema() for task in TASKS.values()])
    assert len(found) > 200
    unread = sorted(f"{owner}.{name}" for (owner, name), known in found.items() if not is_read(name, known))
    assert not unread, f"set but never read: {unread}"


def test_a_field_is_not_taken_for_read_because_another_class_has_an_attribute_of_that_name() -> None:
    assert not is_read("flatten", Known({"Part"}, {"part_of_no_task"}))  # an attribute of many a tensor
    assert is_read("epochs", Known({"Part"}, {"train"}))
