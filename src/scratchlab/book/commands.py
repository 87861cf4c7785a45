"""Hold a printed command against the options of its script."""

import argparse
import shlex
from collections.abc import Iterator
from typing import Any

from scratchlab.book.printed import Command, Script, Slip, Table
from scratchlab.matching import nearest


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(message)


def check(command: Command, script: Script, table: Table) -> Iterator[Slip]:
    """Say why a command would not run as its row does."""
    words = shlex.split(command.line)
    name, arguments = words[1], words[2:]
    problem = _unparsable(arguments, script)
    if name != script.name:
        problem = f"there is no {name}" + nearest(name, [script.name], 0)
    if problem:
        where = command.source or f"{table.source}, command of row {command.row}"
        yield Slip(table.experiment(command.row), "command", "", f"{where}: {problem} (in: {command.line})")


def _unparsable(arguments: list[str], script: Script) -> str:
    parser = _Parser(add_help=False)
    for option, possible in script.values.items():
        parser.add_argument(f"--{option}", choices=possible)
    for option in script.texts:
        parser.add_argument(f"--{option}")
    for option in script.numbers:
        parser.add_argument(f"--{option}", type=int)
    for option in script.switches:
        parser.add_argument(f"--{option}", action="store_true")
    try:
        parser.parse_args(arguments)
    except ValueError as error:
        glued = next((word for word in arguments if "--" in word.removeprefix("--")), "")
        return f"{error}" + (f"; a space is missing in {glued!r}" if glued else "")
    return ""
