"""The experiment files: one file, one experiment, with what it changes and the claims it is held against.

Those of the package, and those of an `experiments/` folder where the command is called, whose names must be others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scratchlab.files import dotted, read_yaml, resource
from scratchlab.matching import matches, nearest


@dataclass(frozen=True)
class Experiment:
    """An experiment as its file states it, before anything is composed."""

    name: str
    path: Path
    content: dict[str, Any]
    local: bool = False
    """Of the folder where the command is called: what it claims was said by nobody else."""

    @property
    def defaults(self) -> dict[str, str]:
        """The options it chooses, by group."""
        chosen: dict[str, str] = {}
        for entry in self.content.get("defaults", []):
            if isinstance(entry, dict):
                for group, option in entry.items():
                    chosen[group.removeprefix("override ").lstrip("/")] = option
        return chosen

    @property
    def task(self) -> str:
        return self.defaults["task"]

    @property
    def exercise(self) -> str:
        return str(self.content.get("exercise", ""))

    @property
    def claims(self) -> list[dict[str, Any]]:
        return self.content.get("claims", [])

    @property
    def differences(self) -> dict[str, Any]:
        """What it sets otherwise than its task: chosen options and values, by dotted key."""
        chosen = {group: option for group, option in self.defaults.items() if group != "task"}
        values = {k: v for k, v in self.content.items() if k not in ("defaults", "exercise", "claims", "hydra")}
        return chosen | dotted(values) | self.sweep

    @property
    def sweep(self) -> dict[str, Any]:
        """What it sweeps, by key, as Hydra takes it: values with commas between them."""
        return self.content.get("hydra", {}).get("sweeper", {}).get("params", {})

    @property
    def weights(self) -> list[str]:
        """The weights from outside that it starts from, in words; `data.sources.needed_by` has the data."""
        chosen = task_options(self.task) | self.defaults
        if chosen.get("weights", "random") == "random":
            return []
        named = {"checkpoint": "a checkpoint (weights.path)", "smollm2": "SmolLM2 weights (93 MB, package index)"}
        return [named.get(chosen["weights"]) or f"GPT-2 weights ({chosen['model'].removeprefix('gpt2_')})"]

    @property
    def summary(self) -> str:
        """The comment on the file's first lines."""
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# "))
        return " ".join(lines)


def task_options(task: str) -> dict[str, str]:
    """The options that a task's own file chooses, by group."""
    content = read_yaml(resource("conf") / "task" / f"{task}.yaml")
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    return {group.lstrip("/"): option for entry in entries for group, option in entry.items()}


def select(globs: str) -> dict[str, Experiment]:
    """The experiments whose names match one of the comma-separated globs; only their files are read.

    Raises:
        ValueError: none does.
    """
    every = paths()
    found = {name: read(path) for name, path in every.items() if matches(name, globs)}
    if not found:
        raise ValueError(
            f"select={globs}: no experiment of that name; there are {len(every)}, see `scratchlab task=list`"
            + nearest(globs, every, 0.5)
        )
    return found


def paths() -> dict[str, Path]:
    """Every experiment's file by name, sorted; none is read.

    Raises:
        ValueError: a file where the command is called has the name of another one of the package.
    """
    package, here = resource("experiments"), Path.cwd() / "experiments"
    built_in = {path.stem: path for path in package.glob("*.yaml")}
    own = {} if here.resolve() == package.resolve() else {path.stem: path for path in here.glob("*.yaml")}
    for name in sorted(set(built_in) & set(own)):
        ours, theirs = own.pop(name), built_in[name]
        if ours.resolve() != theirs.resolve() and ours.read_bytes() != theirs.read_bytes():
            raise ValueError(f"experiment {name}: {ours} has the name of {theirs}; possible: any other name for yours")
    return dict(sorted((built_in | own).items()))


def read(path: Path) -> Experiment:
    """The experiment in a file.

    Raises:
        ValueError: the file is no YAML mapping, or chooses no task.
    """
    try:
        content = read_yaml(path)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: an experiment is a mapping of what it changes, found {type(content).__name__}")
    for key, kind in (("defaults", list), ("claims", list), ("hydra", dict)):
        if not isinstance(content.get(key, kind()), kind):
            found = "nothing" if content[key] is None else type(content[key]).__name__
            raise ValueError(f"{path}: `{key}:` holds {found}; possible: a {kind.__name__}, or no `{key}:` at all")
    if others := [claim for claim in content.get("claims", []) if not isinstance(claim, dict)]:
        raise ValueError(f"{path}: `claims:` holds {others[0]!r}; possible: mappings, each with a metric and a source")
    local = path.parent.resolve() != resource("experiments").resolve()
    experiment = Experiment(path.stem, path, content, local)
    if "task" not in experiment.defaults:
        raise ValueError(f"{path}: chooses no task; add `defaults: [override /task: NAME]`")
    return experiment


def read_named(name: str) -> Experiment | None:
    """The experiment of that name; None if there is none."""
    path = paths().get(name)
    return read(path) if path else None


def read_all() -> dict[str, Experiment]:
    """Every experiment by name, sorted.

    Raises:
        ValueError: one of the files is no experiment.
    """
    return {name: read(path) for name, path in paths().items()}
