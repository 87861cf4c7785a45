"""What a record's configuration is, whatever the record says of it: typed again, its fingerprint computed again."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scratchlab.evidence.runs import RunRecord
from scratchlab.runs import identity
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS

Published = Callable[[str], Mapping[str, Any] | str]
"""By the name of an experiment, what acts in it as published, flat; or why it cannot be composed."""


@cache
def _template(task: str) -> Any:
    """The strict type of a task, with what a key that is younger than a record means where the record lacks it."""
    schema = TASKS[task].schema()
    then: dict[str, Any] = {}
    for key, value in identity.as_before(schema).items():
        *parents, last = key.split(".")
        inner = then
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return OmegaConf.merge(OmegaConf.structured(schema), then)


def typed(run: RunRecord) -> Run:
    """The configuration of a record as its task's type; see `_typed`.

    Raises:
        ValueError: it does not fit, or says too little.
    """
    if "typed" not in run.kept:
        try:
            run.kept["typed"] = _typed(run)
        except ValueError as error:
            run.kept["typed"] = str(error)
    if isinstance(run.kept["typed"], str):
        raise ValueError(run.kept["typed"])
    return run.kept["typed"]


def _typed(run: RunRecord) -> Run:
    """The configuration of a record as its task's type; nothing outside is looked at, so that it may be of any machine.

    Raises:
        ValueError: it does not fit, or says too little.
    """
    if run.task not in TASKS:
        raise ValueError(f"there is no task {run.task!r}")
    schema = TASKS[run.task].schema()
    known = {part.name for part in fields(schema)}
    if extra := sorted(set(run.nested) - known):
        raise ValueError(f"task={run.task} has no {', '.join(extra)}")
    given = {key: value for key, value in run.nested.items() if key != "claims"}
    try:
        merged = OmegaConf.merge(_template(run.task), given)
        config = _made(schema, OmegaConf.to_container(merged, resolve=False))
        acting = identity.matters(config)
    except (OmegaConfBaseException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it does not fit task={run.task}: {' '.join(str(error).split())[:160]}") from None
    before = identity.as_before(schema)
    if lacking := [key for key in acting if key not in before and not _there(run.nested, key)]:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ValueError(f"it lacks {', '.join(lacking[:3])}{more}")
    return config


def _made(schema: type[Any], values: Any) -> Any:
    """An instance without its checks, which may look for files that only the run's machine had."""
    instance, hints = object.__new__(schema), get_type_hints(schema)
    for part in fields(schema):
        kind, value = hints[part.name], values[part.name]
        inner = isinstance(kind, type) and is_dataclass(kind)
        object.__setattr__(instance, part.name, _made(kind, value) if inner else value)
    return instance


def _there(nested: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(nested, Mapping) or part not in nested:
            return False
        nested = nested[part]
    return True


def misprint(run: RunRecord) -> str:
    """Why the fingerprint in a record is not that of its configuration; empty if it is, or if nothing can be told."""
    if "fingerprint" in run.missing or not run.nested:
        return ""
    try:
        config = typed(run)
    except ValueError:
        return ""
    if run.revision is not None:
        object.__setattr__(config, "revision", run.revision)  # a class's own, for everyone but this one record
    now = identity.fingerprint(config)
    return "" if now == run.fingerprint else f"its fingerprint is {run.fingerprint}, its config.yaml gives {now}"


def differences(run: RunRecord, published: Mapping[str, Any]) -> dict[str, Any]:
    """What acts in a record and is otherwise than published, seed aside.

    Raises:
        ValueError: its configuration does not fit its task, or says too little.
    """
    ours = identity.matters(typed(run))
    keys = dict.fromkeys((*ours, *published))
    return {key: ours.get(key) for key in keys if key != "seed" and not _same(ours.get(key), published.get(key))}


def _same(ours: Any, theirs: Any) -> bool:
    return bool(ours == theirs) and isinstance(ours, bool) == isinstance(theirs, bool)
