"""Asked to end: a signal stops a run once, where it loses least, and what is written about it is written in any case.

Whoever set a handler before, as launchers on clusters do to put a job back into the queue, has it called when the
record is written. Nothing is saved inside a handler.
"""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)

ASKING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
"""Signals that ask a run to end: of a shell, of a terminal, and of schedulers before they take a machine away."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end (SIGTERM, ...); like Ctrl-C, it is no `Exception`, so that sweeps stop too."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """What a shell reports of a process that such a signal has ended."""
    return 128 + (signal.Signals[str(stop)] if isinstance(stop, Interrupted) else signal.SIGINT)


def as_exception(name: str) -> KeyboardInterrupt:
    return KeyboardInterrupt() if name == "SIGINT" else Interrupted(name)


class Ending:
    """Whether the run is being ended, and what was asked for when it could not be."""

    def __init__(self) -> None:
        self.begun = False
        """From now on no signal raises: the record comes first."""
        self.recorded = False
        """The record is written: whatever comes now may end the process."""
        self.missed = ""
        """A signal that came to a run that was over, while its record was written."""
        self.asked = ""
        """A signal that waits for the next boundary."""
        self.raised = ""
        """The signal that ended the run."""
        self.waits = False
        """Whether the run says itself where it may stop; see `at_boundaries`."""
        self.rescue: Callable[[], None] | None = None
        """What keeps the run's state, should it be ended now."""

    def handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.begun and not self.recorded:
            self.missed = name
        elif self.waits and not (self.asked == name == "SIGINT"):  # Ctrl-C twice means now
            self.asked = self.asked or name
        else:
            self.end(name)

    def end(self, name: str) -> None:
        self.begun, self.raised, self.asked = True, name, ""
        raise as_exception(name)

    def here(self, of_others: str = "") -> None:
        """A boundary: stop if that was asked for; `of_others`: the signal that came to another process of this run."""
        if name := self.asked or of_others:
            self.end(name)


_current: list[Ending] = []
"""The run that is under way in this process, the innermost last: a report may make the runs that it lacks."""


@contextlib.contextmanager
def at_boundaries() -> Iterator[Ending]:
    """Within this, a signal waits until the run calls `here`, or leaves; what it does in between stays whole."""
    ending = _current[-1] if _current else Ending()
    ending.waits = True
    try:
        yield ending
    finally:
        ending.waits = False
    ending.here()


def if_interrupted(rescue: Callable[[], None] | None) -> None:
    """What is to be done if the run under way is interrupted from here on; None: nothing any more."""
    if _current:
        _current[-1].rescue = rescue


@contextlib.contextmanager
def ending_once() -> Iterator[Ending]:
    """Turn the first signal that asks for it into an exception, so that a scheduler's request to end leaves a record.

    Those that follow wait until this is left; a run that was over by then is interrupted after all. Then the handler
    that was there before is called.
    """
    ending = Ending()
    before = take_over(ending.handle) if threading.current_thread() is threading.main_thread() else {}
    _current.append(ending)
    try:
        yield ending
    except KeyboardInterrupt:
        if ending.rescue is not None:
            ending.rescue()
        raise
    finally:
        _current.remove(ending)
        for number, handler in before.items():
            signal.signal(number, handler)
        if name := ending.raised or ending.missed:
            _hand_on(name, before)
    if ending.missed:  # only where no exception goes on already
        raise as_exception(ending.missed)


def take_over(handle: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Set a handler for what asks to end; the handlers before, by signal."""
    before: dict[int, Any] = {}
    for name in ASKING:
        number = getattr(signal, name, None)  # Windows has no SIGUSR1
        # not where it is ignored, as Ctrl-C by a shell's &, nor where a handler is not Python's
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, handle)
    return before


def _hand_on(name: str, before: dict[int, Any]) -> None:
    number = getattr(signal, name)
    handler = before.get(number)
    if callable(handler) and handler is not signal.default_int_handler:
        log.info("%s: handed on to who waited for it before", name)
        handler(number, None)
