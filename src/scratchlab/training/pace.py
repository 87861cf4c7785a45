"""The rate and the speed of a training, batch by batch.

They stand apart from the history, which is the same each time: a clock's readings are not.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from scratchlab.files import to_json, write_atomically

if TYPE_CHECKING:
    from torch.optim import Optimizer

FILE = "pace.jsonl"
"""A line a batch: `step`, `lr` (of its update), `tokens` (of the batch) and `seconds` (evaluations left out)."""


class Pace:
    """Takes the time from one batch to the next; use it as a context."""

    def __init__(self, folder: Path, optimizer: "Optimizer", tokens: int) -> None:
        """`tokens`: seen before."""
        self._path, self._optimizer, self._tokens = folder / FILE, optimizer, tokens
        self._file: TextIO | None = None
        self._started = 0.0

    def __enter__(self) -> "Pace":
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def batch(self, number: int, tokens: int) -> None:
        """A batch is done; `tokens`: seen until now."""
        seconds = time.perf_counter() - self._started
        if self._file is None:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        line = {"step": number, "lr": self._optimizer.param_groups[0]["lr"], "tokens": tokens - self._tokens}
        try:
            self._file.write(to_json(line | {"seconds": round(seconds, 6)}) + "\n")
        except OSError as error:  # which names no file
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._tokens = tokens

    def go(self) -> None:
        """The next batch begins."""
        self._started = time.perf_counter()


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run, each with `tokens_per_second`; a line cut short by a kill is left out."""
    return [
        line | {"tokens_per_second": line["tokens"] / max(line["seconds"], 1e-6)}
        for line in map(json.loads, _whole_lines(folder))
    ]


def copy(source: Path, target: Path, *, batches: int) -> None:
    """Begin with what was noted of the first batches in another attempt at the same training."""
    if lines := _whole_lines(source)[:batches]:
        write_atomically(target / FILE, "\n".join([*lines, ""]))


def _whole_lines(folder: Path) -> list[str]:
    path = folder / FILE
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
