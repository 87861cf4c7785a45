"""What a sweep leaves about itself as a whole: its runs in their order, and the arm the others are held against."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from scratchlab.files import as_json, write_atomically

FOLDER, FILE = ".sweeps", "sweep.json"
"""Where a sweep's folder is below `out`, if nothing else was typed, and the file in it."""


@dataclass(frozen=True)
class Sweep:
    runs: list[str]
    """Fingerprints, in the order of the sweep."""
    baselines: dict[str, str] = field(default_factory=dict)
    """By fingerprint of their runs, why the baselines are: one arm a task."""

    def place(self, fingerprint: str) -> int:
        """Where a run stands; behind all others if it is not one of the sweep."""
        return self.runs.index(fingerprint) if fingerprint in self.runs else len(self.runs)


class Identified(Protocol):
    @property
    def fingerprint(self) -> str: ...


def write(folder: Path, sweep: Sweep) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, as_json(asdict(sweep)))


def read(out: Path) -> list[Sweep]:
    """The sweeps below `out`, the last one first; a file that is none is passed over, for it only decides an order."""
    every = (_read(path) for path in sorted(out.glob(f"{FOLDER}/*/{FILE}"), reverse=True))
    return [one for one in every if one is not None]


def _read(path: Path) -> Sweep | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Sweep(list(map(str, values["runs"])), {str(k): str(v) for k, v in values["baselines"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None


def of(out: Path, runs: Iterable[Identified]) -> list[Path]:
    """The files of the sweeps that made any of the runs."""
    wanted = {run.fingerprint for run in runs}
    paths = sorted(out.glob(f"{FOLDER}/*/{FILE}"))
    return [path for path in paths if (one := _read(path)) and wanted & set(one.runs)]
