"""Asked to end: a signal stops a run once, and what is written about it is written whatever else is asked."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); like Ctrl-C, it is no `Exception`, so that sweeps stop too."""


class Ending:
    """Whether the run is being ended, and what was asked for while its record was written."""

    def __init__(self) -> None:
        self.begun = False
        """From now on no signal raises: the record comes first."""
        self.recorded = False
        """The record is written: whatever comes now may end the process."""
        self.missed: str = ""
        """A signal that came to a run that was over, while its record was written."""

    def handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.begun and not self.recorded:
            self.missed = name
            return
        self.begun = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted(name)


@contextlib.contextmanager
def ending_once() -> Iterator[Ending]:
    """Turn the first SIGTERM or Ctrl-C into an exception, so that a scheduler's request to end leaves a record.

    Those that follow wait until this is left; a run that was over by then is interrupted after all.
    """
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, ending.handle)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where Ctrl-C is ignored, as by a shell's &
        before[signal.SIGINT] = signal.signal(signal.SIGINT, ending.handle)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if ending.missed:  # only where no exception goes on already
        raise Interrupted(ending.missed) if ending.missed != "SIGINT" else KeyboardInterrupt
