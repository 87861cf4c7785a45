"""What runs have measured, as their records say: the side of every comparison that is ours.

Records come from other versions and other machines, so every field but the folder may be missing; `RunRecord.missing`
says what is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scratchlab.evidence import parsing, predictions
from scratchlab.evidence.labels import differing as differing  # offered here too
from scratchlab.evidence.labels import labels
from scratchlab.evidence.predictions import PREDICTIONS, Items
from scratchlab.files import dotted, with_numbers
from scratchlab.matching import matches
from scratchlab.runs import identity, record, registry
from scratchlab.runs.checks import is_number

__all__ = [
    "PREDICTIONS",
    "Arm",
    "Items",
    "RunRecord",
    "arms",
    "by_name",
    "differing",
    "latest_of_each_seed",
    "read_run",
    "read_runs",
]

DEVICE = "compute.device"


@dataclass(frozen=True)
class RunRecord:
    """One run as its folder tells it."""

    folder: Path
    name: str
    seed: int
    status: str
    """done, failed, interrupted; `unfinished` where there is no result, `unreadable` where the record is spoilt."""
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
    nested: dict[str, Any] = field(default_factory=dict, repr=False)
    """The configuration as its file has it."""
    revision: int | None = None
    """Of the task, when the run was made."""
    wrong: dict[str, str] = field(default_factory=dict)
    """Metrics that the record states and that are left out, each with the reason."""
    problems: tuple[str, ...] = ()
    """What is wrong with the record, in words."""
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was worked out from `nested` once, for all claims."""

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def acting(self) -> dict[str, Any]:
        """The flat configuration without the seed and what cannot change a number."""
        flat = {key: value for key, value in self.config.items() if key != "seed"}
        if flat.get(DEVICE) == "auto" and self.device_class:
            flat[DEVICE] = self.device_class
        return identity.acting(flat, registry.schema_of(self.task))

    def arm_key(self) -> str:
        """The same for runs of one arm."""
        return json.dumps([self.name, self.acting or self.changes], sort_keys=True, default=str)

    @property
    def device_class(self) -> str:
        """cpu, cuda or mps, as the record names its device; empty where it does not."""
        first = self.device.split()[0].split(":")[0].lower() if self.device.split() else ""
        return first if first in ("cpu", "cuda", "mps") else ""

    @property
    def about_records(self) -> bool:
        """Whether its task only reports on other records; one that has not ended, as itself, is known by its keys."""
        return registry.schema_of(self.task or self.name).about_records or (not self.task and "select" in self.nested)

    @cached_property
    def history_text(self) -> str:
        path = self.folder / record.HISTORY
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def history(self) -> list[dict[str, Any]]:
        """The lines of the history that can be drawn: those that are mappings, with numbers where they say when."""
        lines = []
        for text in self.history_text.split("\n"):
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):  # cut short by a kill, or damaged: a curve has a gap there
                continue
            if isinstance(line, dict) and all(isinstance(line.get(by, 0), int | float) for by in ("step", "epoch")):
                lines.append(with_numbers(line))
        return lines

    @property
    def history_digest(self) -> str:
        """Hash of every loss on the way; empty where there is no history."""
        return hashlib.sha256(self.history_text.encode()).hexdigest() if self.history_text else ""

    @property
    def batches(self) -> int | None:
        """Batches trained on; None where the history does not say."""
        return self.history_text.count('"batch_loss"') or None

    @property
    def keeps_predictions(self) -> bool:
        return (self.folder / PREDICTIONS).is_file()

    def items(self, split: str) -> Items | None:
        """The predictions over a split; None where the run has none."""
        return predictions.read(self.folder)[0].get(split)


def read_run(folder: Path | str) -> RunRecord:
    """Read one folder, whatever state it is in; `RunRecord.problems` says what is wrong with it.

    A record that is not what a run writes is `unreadable`: it does not speak. One whose numbers are partly impossible,
    or are not those of its own predictions, speaks with the others.
    """
    folder = Path(folder)
    nested, problem = parsing.config(folder)
    problems = [problem] if problem else []
    config = dotted(nested, keep=("claims",))
    missing = [] if (folder / record.CONFIG).is_file() else [record.CONFIG]
    result, problem = parsing.result(folder)
    problems += [problem] if problem else []
    known = {key: value for key, value in (result or {}).items() if not parsing.field_problem(key, value)}
    problems += _contradictions(config, result or {}, known)
    seed = known.get("seed", config.get("seed"))
    name = known.get("name") or config.get("name")
    common: dict[str, Any] = {
        "folder": folder,
        "name": name if isinstance(name, str) and name.isprintable() and name else folder.parent.name,
        "seed": seed if parsing.is_whole(seed) else 0,
        "config": config,
        "nested": nested,
        "task": known.get("task", ""),
    }
    if result is None and not problems:
        return RunRecord(**common, status="unfinished", missing=tuple(missing))
    if problems:
        told = "; ".join(problems)
        return RunRecord(**common, status="unreadable", error=told, problems=tuple(problems), missing=tuple(missing))
    missing += [key for key in ("seed", "fingerprint", "changes", "hashes", "device") if key not in known]
    metrics, wrong = parsing.metrics(known["metrics"])
    wrong |= predictions.contradictions(folder, metrics)
    claims, problem = parsing.stated_claims(known.get("claims") or config.get("claims") or (), name or "")
    return RunRecord(
        **common,
        metrics={key: value for key, value in metrics.items() if key not in wrong},
        wrong=wrong,
        revision=known.get("revision"),
        claims=claims,
        fingerprint=known.get("fingerprint") or folder.name,
        missing=tuple(missing),
        problems=(*wrong.values(), *([problem] if problem else [])),
        **{key: known[key] for key in _PLAIN if key in known},
    )


def _contradictions(config: Mapping[str, Any], result: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Where the two files of a record say two things, or neither says which seed it is."""
    if not result:
        return []
    found = [
        f"{key} is {known[key]!r} in {record.RESULT} and {config[key]!r} in {record.CONFIG}"
        for key in ("name", "seed")
        if key in known and key in config and known[key] != config[key]
    ]
    if "seed" not in result and not parsing.is_whole(config.get("seed")):
        found.append("seed is missing")
    return found


_PLAIN = (
    "status",
    "error",
    "changes",
    "hashes",
    "no_effect",
    "device",
    "seconds",
    "started",
    "versions",
    "git",
    "choices",
)


def read_runs(out: Path | str, select: str = "*", seeds: Sequence[int] = ()) -> list[RunRecord]:
    """Every run below `out` whose name matches one of the comma-separated globs; `seeds`: only these.

    Records of tasks that only report on other records are left out.
    """
    names = [path for path in Path(out).glob("*/") if matches(path.name, select)]
    files = (record.CONFIG, record.RESULT)
    folders = {path.parent for name in names for file in files for path in name.glob(f"*/{file}")}
    runs = [read_run(folder) for folder in sorted(folders)]
    return [run for run in runs if not run.about_records and (not seeds or run.seed in seeds or run.problems)]


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
    """One a seed, the last one started."""
    older: tuple[RunRecord, ...] = ()
    """Earlier records of the same seeds."""
    lost: tuple[RunRecord, ...] = ()
    """Runs of the same configuration that came to no end."""

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    def run(self, seed: int) -> RunRecord:
        return next(run for run in self.runs if run.seed == seed)

    def values(self, metric: str) -> list[float]:
        """The metric of every run that has it as a number, in order of seeds."""
        found = [run.metrics.get(metric) for run in self.runs]
        return [float(value) for value in found if is_number(value)]


def arms(runs: Iterable[RunRecord]) -> list[Arm]:
    """Group finished runs into arms, in the order in which each first appears."""
    groups: dict[str, list[RunRecord]] = {}
    lost: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.status != "unreadable":
            (groups if run.done else lost).setdefault(run.arm_key(), []).append(run)
    found = []
    for key, group in groups.items():
        first, last = group[0], latest_of_each_seed(group)
        older = tuple(run for run in group if not any(run is other for other in last))
        found.append(Arm(first.name, first.name, first.acting, tuple(last), older, tuple(lost.get(key, ()))))
    return [replace(arm, label=label) for arm, label in zip(found, labels(found), strict=True)]
