"""A run's log.txt: everything this package says while the run is under way."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path


class _RunLog(logging.FileHandler):
    """Says once, in one line, that it cannot be written; the run goes on without it."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        self.tell(sys.exc_info()[1])

    def tell(self, error: BaseException | None) -> None:
        if not self.told:
            self.told = True
            print(f"{self.baseFilename} cannot be written: {error}", file=sys.stderr)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self.tell(error)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log to a file too."""
    handler = _RunLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("scratchlab")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
