"""Which statements of a module a process and its children reach, each written down as it is reached.

`mutants.py` puts this file beside a copy of the package whose modules call `hit` before every statement.
"""

import ast
import os
from collections import defaultdict

LOG = "REACHED_LOG"
"""Environment variable: the file that the lines go to."""

seen: set[tuple[str, int]] = set()


def hit(module: str, line: int) -> None:
    if (module, line) not in seen:
        seen.add((module, line))
        with open(os.environ[LOG], "ab", buffering=0) as file:  # a process that is killed has written it
            file.write(f"{module}:{line}\n".encode())


def take(start: int) -> tuple[dict[str, set[int]], int]:
    """The lines written down from a place in the file on, by module, and the place to go on from."""
    seen.clear()
    found: dict[str, set[int]] = defaultdict(set)
    try:
        with open(os.environ[LOG], "rb") as file:
            file.seek(start)
            new = file.read()
    except FileNotFoundError:
        return found, start
    for module, _, line in (entry.rpartition(":") for entry in new.decode().splitlines()):
        found[module].add(int(line))
    return found, start + len(new)


def telling(module: str, source: str) -> str:
    """The source with a call of `hit` before every statement."""

    def told(body: list[ast.stmt]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in body:
            for name in ("body", "orelse", "finalbody"):
                if isinstance(inner := getattr(statement, name, None), list):
                    setattr(statement, name, told(inner))
            for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
                part.body = told(part.body)
            first = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
            text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not first and not text:
                found += ast.parse(f"__import__('reached').hit({module!r}, {statement.lineno})").body
            found.append(statement)
        return found

    tree = ast.parse(source)
    tree.body = told(tree.body)
    return ast.unparse(ast.fix_missing_locations(tree))
