"""What runs have measured, as their records say: the side of every comparison that is ours.

Records come from other versions and other machines, so every field but the folder may be missing; `RunRecord.missing`
says what is.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scratchlab.evidence.labels import differing as differing  # offered here too
from scratchlab.evidence.labels import labels
from scratchlab.files import LOADER, dotted
from scratchlab.matching import matches
from scratchlab.runs import identity, record, registry

if TYPE_CHECKING:
    import numpy as np

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Items:
    """Predictions over one split, sorted by index."""

    index: "np.ndarray"
    label: "np.ndarray"
    prediction: "np.ndarray"
    probability: "np.ndarray"

    @property
    def correct(self) -> "np.ndarray":
        return (self.label == self.prediction).astype(float)


@dataclass(frozen=True)
class RunRecord:
    """One run as its folder tells it."""

    folder: Path
    name: str
    seed: int
    status: str
    """done, failed, interrupted; `unfinished` where there is no result, `unreadable` where it is no JSON."""
    task: str = ""
    error: str = ""
    fingerprint: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """Flat, with dotted keys."""
    changes: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    no_effect: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    """What was typed, by group or key; bookkeeping aside."""
    claims: tuple[dict[str, Any], ...] = ()
    device: str = ""
    seconds: float = 0.0
    started: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def acting(self) -> dict[str, Any]:
        """The flat configuration without the seed and what cannot change a number."""
        flat = {key: value for key, value in self.config.items() if key != "seed"}
        return identity.acting(flat, registry.schema_of(self.task))

    @property
    def about_records(self) -> bool:
        """Whether its task only reports on other records."""
        return registry.schema_of(self.task or self.name).about_records

    @cached_property
    def history_text(self) -> str:
        path = self.folder / record.HISTORY
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def history_digest(self) -> str:
        """Hash of every loss on the way; empty where there is no history."""
        return hashlib.sha256(self.history_text.encode()).hexdigest() if self.history_text else ""

    @property
    def batches(self) -> int | None:
        """Batches trained on; None where the history does not say."""
        return self.history_text.count('"batch_loss"') or None

    def items(self, split: str) -> Items | None:
        """The predictions over a split; None where the run has none."""
        path = self.folder / PREDICTIONS
        return _read_items(path, split, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=4096)
def _read_items(path: Path, split: str, _written: int) -> Items | None:
    import numpy as np

    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = header.split(",")
    lines = [line for line in lines if line.startswith(f"{split},")]
    wanted = ("index", "label", "prediction", "probability")
    if not lines or not set(wanted[:3]) <= set(names):
        return None
    present = [name for name in wanted if name in names]
    table = np.loadtxt(lines, delimiter=",", usecols=[names.index(name) for name in present], ndmin=2)
    table = table[np.argsort(table[:, 0], kind="stable")]
    columns = dict(zip(present, table.T, strict=True))
    columns.setdefault("probability", np.full(len(table), np.nan))
    return Items(*(columns[name] for name in wanted))


def read_run(folder: Path | str) -> RunRecord:
    """Read one folder, whatever state it is in."""
    folder = Path(folder)
    missing: list[str] = []
    config: dict[str, Any] = {}
    if (folder / record.CONFIG).is_file():
        try:
            loaded = yaml.load((folder / record.CONFIG).read_text(encoding="utf-8"), Loader=LOADER)
            config = dotted(loaded if isinstance(loaded, dict) else {}, keep=("claims",))
        except yaml.YAMLError:
            missing.append(f"{record.CONFIG} (no YAML)")
    else:
        missing.append(record.CONFIG)
    name = str(config.get("name") or folder.parent.name)
    try:
        result = record.read_result(folder)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        return RunRecord(folder, name, config.get("seed", 0), "unreadable", error=f"{record.RESULT}: {error}")
    if result is None:
        return RunRecord(folder, name, config.get("seed", 0), "unfinished", config=config, missing=tuple(missing))
    missing += [key for key in ("status", "seed", "changes", "hashes", "device") if key not in result]
    seed = result.get("seed", config.get("seed", 0))
    return RunRecord(
        folder,
        str(result.get("name") or name),
        int(seed),
        result.get("status", "done"),
        config=config,
        fingerprint=result.get("fingerprint") or folder.name,
        claims=tuple(result.get("claims") or config.get("claims") or ()),
        missing=tuple(missing),
        **{key: result[key] for key in _PLAIN if result.get(key) is not None},
    )


_PLAIN = (
    "task", "error", "metrics", "changes", "hashes", "no_effect", "device", "seconds", "started", "versions", "git",
    "choices",
)  # fmt: skip


def read_runs(out: Path | str, select: str = "*", seeds: Sequence[int] = ()) -> list[RunRecord]:
    """Every run below `out` whose name matches one of the comma-separated globs; `seeds`: only these.

    Records of tasks that only report on other records are left out.
    """
    folders = {path.parent for name in (record.CONFIG, record.RESULT) for path in Path(out).glob(f"*/*/{name}")}
    chosen = sorted(f for f in folders if matches(f.parent.name, select))
    runs = [read_run(folder) for folder in chosen]
    return [run for run in runs if not run.about_records and (not seeds or run.seed in seeds)]


def by_name(runs: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        found.setdefault(run.name, []).append(run)
    return found


def latest_of_each_seed(runs: Iterable[RunRecord]) -> list[RunRecord]:
    """One run a seed, the last one started, in order of seeds."""
    latest: dict[int, RunRecord] = {}
    for run in sorted(runs, key=lambda run: run.started):
        latest[run.seed] = run
    return [latest[seed] for seed in sorted(latest)]


@dataclass(frozen=True)
class Arm:
    """Finished runs of one configuration, seeds apart."""

    name: str
    label: str
    """What it is called in tables and plots; see `labels`."""
    config: dict[str, Any]
    """Flat, without the seed and what cannot change a number."""
    runs: tuple[RunRecord, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    def run(self, seed: int) -> RunRecord:
        return next(run for run in self.runs if run.seed == seed)

    def values(self, metric: str) -> list[float]:
        """The metric of every run that has it as a number, in order of seeds."""
        found = [run.metrics.get(metric) for run in self.runs]
        return [float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)]


def arms(runs: Iterable[RunRecord]) -> list[Arm]:
    """Group finished runs into arms, in the order in which each first appears."""
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.done:
            key = json.dumps([run.name, run.acting or run.changes], sort_keys=True, default=str)
            groups.setdefault(key, []).append(run)
    found = [
        Arm(group[0].name, group[0].name, group[0].acting, tuple(latest_of_each_seed(group)))
        for group in groups.values()
    ]
    return [replace(arm, label=label) for arm, label in zip(found, labels(found), strict=True)]
