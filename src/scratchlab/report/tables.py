"""Tables over many runs: one row an arm, that is, runs which differ in nothing but the seed."""

import json
import os
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scratchlab import record
from scratchlab.experiments import LOADER
from scratchlab.run import NOT_A_NUMBER_CHANGER


@dataclass(frozen=True)
class Arm:
    """Runs of one configuration, seeds apart."""

    name: str
    config: dict[str, Any]
    """Flat, without the seed and what cannot change a number."""
    results: list[dict[str, Any]]
    folders: list[Path]

    @property
    def seeds(self) -> list[int]:
        return [result["seed"] for result in self.results]

    def values(self, metric: str) -> list[float]:
        """The metric in every run that has it as a number, in order of seeds."""
        found = [result["metrics"].get(metric) for result in self.results]
        return [float(value) for value in found if isinstance(value, int | float)]


def arms(folders: Iterable[Path]) -> list[Arm]:
    """Group finished runs into arms, in the order in which each first appears; seeds in order."""
    groups: dict[str, list[tuple[dict[str, Any], dict[str, Any], Path]]] = {}
    for folder in folders:
        result = record.read_result(folder)
        if result is None or result["status"] != "done":
            continue
        config = _acting(yaml.load((folder / record.CONFIG).read_text(encoding="utf-8"), Loader=LOADER))
        key = json.dumps([result["name"], config], sort_keys=True)
        groups.setdefault(key, []).append((config, result, folder))
    found = []
    for runs in groups.values():
        runs.sort(key=lambda run: run[1]["seed"])
        found.append(Arm(runs[0][1]["name"], runs[0][0], [run[1] for run in runs], [run[2] for run in runs]))
    return found


def _acting(config: dict[str, Any]) -> dict[str, Any]:
    flat = record.dotted(config)
    skip = (*NOT_A_NUMBER_CHANGER, "seed")
    return {k: v for k, v in flat.items() if not any(k == s or k.startswith(f"{s}.") for s in skip)}


def differing(found: list[Arm]) -> list[str]:
    """The configuration keys whose values are not the same in all arms."""
    keys = list(dict.fromkeys(key for arm in found for key in arm.config))
    return [key for key in keys if len({json.dumps(arm.config.get(key)) for arm in found}) > 1]


def same_outcome(found: list[Arm]) -> dict[int, int]:
    """Arms that measured exactly what an earlier arm measured, loss by loss: index of the one, index of the other.

    Where only configuration differs, this shows that the difference had no effect.
    """
    first: dict[str, int] = {}
    same: dict[int, int] = {}
    for index, arm in enumerate(found):
        print_of = json.dumps(
            [(r["seed"], record.read_history(f)) for r, f in zip(arm.results, arm.folders, strict=True)]
        )
        if print_of in first:
            same[index] = first[print_of]
        else:
            first[print_of] = index
    return same


COLUMNS = ("train_accuracy", "val_accuracy", "test_accuracy", "train_loss", "val_loss", "train_seconds")
"""Metrics that a short table shows, where runs have them."""


def show_sweep(folders: list[Path]) -> None:
    """Print one row an arm: what differed, mean and spread over seeds, and where the records are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = arms(folders)
    if not found:
        return
    keys, same = differing(found), same_outcome(found)
    metrics = [name for name in COLUMNS if any(arm.values(name) for arm in found)]
    table = Table(title="mean over seeds, ± sample standard deviation; accuracies in %", show_lines=True)
    for name in [*(keys or ["name"]), "seeds", *metrics, *(["note"] if same else [])]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for index, arm in enumerate(found):
        row = [str(arm.config.get(key, "-")) for key in keys] or [arm.name]
        row += [",".join(map(str, arm.seeds)), *(_mean_and_spread(arm.values(name), name) for name in metrics)]
        if same:
            row.append(f"no effect: measured the same as row {same[index] + 1}" if index in same else "")
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    console.print(table)
    console.print(f"records: {_common(folders)}", highlight=False, soft_wrap=True)


def _mean_and_spread(values: list[float], metric: str) -> str:
    if not values:
        return "-"
    percent = metric.endswith("accuracy")
    scale, digits = (100, 2) if percent else (1, 1 if metric.endswith("seconds") else 3)
    mean = f"{scale * statistics.mean(values):.{digits}f}"
    return f"{mean} ± {scale * statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _common(folders: list[Path]) -> str:
    return str(Path(os.path.commonpath([folder.resolve() for folder in folders])))
