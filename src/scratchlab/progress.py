"""What a run says while it is under way: one console for log lines and a progress bar, so that no line meets a bar.

On a terminal the bar stays below what is said; elsewhere there is no bar, and lines are plain.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from scratchlab import processes

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def on_a_terminal() -> bool:
    """Whether somebody looks at standard error, and this is the process that speaks there."""
    return processes.first() and sys.stderr.isatty()


@cache
def console() -> "Console":
    """The one console on standard error."""
    from rich.console import Console

    return Console(stderr=True)


class ToConsole(logging.Handler):
    """Says log lines as they are, above the bar if there is one."""

    def emit(self, entry: logging.LogRecord) -> None:
        try:
            text = self.format(entry)
            if on_a_terminal():
                console().print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=sys.stderr, flush=True)
        except Exception:
            self.handleError(entry)


def progress(items: Iterable[T], *, total: int, what: str, done: int = 0) -> Iterator[T]:
    """Yield `items`, showing how many of `total` are done (`done` before the first) and how long the rest will take."""
    if not on_a_terminal():
        yield from items
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # a long name gives way, so that the bar stays whole and in one line of a narrow terminal
    room = max(8, console().width - 55)
    what = what if len(what) <= room else f"{what[: room - 3]}..."
    with Progress(*columns, console=console(), transient=True) as bar:
        yield from bar.track(items, total=total, completed=done, description=escape(what))
