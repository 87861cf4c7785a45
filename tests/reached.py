"""Which lines of a package a process and its children reach, each written down once, as it is reached.

Lies beside the package as `sitecustomize.py` too while `mutants.py` learns, so that a test's own processes are seen.
"""

import os
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE, LOG = "REACHED_PACKAGE", "REACHED_LOG"
"""Environment variables: the folder whose files are followed, and the file that the lines go to."""


class Lines:
    """The lines reached between two calls of `take`, by file below the package."""

    def __init__(self, package: str, log: str) -> None:
        self.package, self.log, self.at = package, log, 0
        self.out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.seen: set[tuple[str, int]] = set()
        threading.settrace(self.call)
        sys.settrace(self.call)

    def call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self.line(frame, event, argument) if frame.f_code.co_filename.startswith(self.package) else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        place = frame.f_code.co_filename, frame.f_lineno
        if place not in self.seen:
            self.seen.add(place)
            os.write(self.out, f"{place[0][len(self.package) + 1 :]}:{place[1]}\n".encode())
        return self.line

    def take(self) -> dict[str, set[int]]:
        with open(self.log, "rb") as file:
            file.seek(self.at)
            new = file.read()
        self.at += len(new)
        self.seen.clear()
        found: dict[str, set[int]] = defaultdict(set)
        for name, _, number in (entry.rpartition(":") for entry in new.decode().splitlines()):
            found[name].add(int(number))
        return found


if os.environ.get(LOG) and Path(__file__).stem == "sitecustomize":
    Lines(os.environ[PACKAGE], os.environ[LOG])
