"""Every key of a task's configuration: its type, what it takes, and what its docstring says."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


def kinds(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a dataclass with its type."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            yield from kinds(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", kind


def is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null", Any: "any"}


def possible(kind: Any) -> str:
    """What a key of that type takes, in words."""
    if is_enum(kind):
        return ", ".join(member.name for member in kind)
    if get_origin(kind) is UnionType:
        parts = sorted(get_args(kind), key=lambda part: (part is NoneType, part is not str))
        return " or ".join("a word" if part is str else possible(part) for part in parts)
    if get_origin(kind) is list:
        return f"list: {', '.join(map(possible, get_args(kind)))}"
    return WORDS.get(kind, str(kind))


def documentation(schema: type, prefix: str = "") -> dict[str, str]:
    """The text under each field of a dataclass and of those inside it, by dotted key; not every field has one."""
    hints, own = get_type_hints(schema), _under_fields(schema)
    found: dict[str, str] = {}
    for field in fields(schema):
        kind = hints[field.name]
        if is_dataclass(kind) and isinstance(kind, type):
            found |= documentation(kind, f"{prefix}{field.name}.")
        elif field.name in own:
            found[f"{prefix}{field.name}"] = own[field.name]
    return found


def _under_fields(schema: type) -> dict[str, str]:
    """Python keeps no text that stands under a field, so it is read from the source, base classes first."""
    found: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if not is_dataclass(base):
            continue
        (definition,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found
