"""The published claims of the experiments, typed; the files are the only place where a claim can be changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.matching import nearest
from scratchlab.runs.claim import Claim, ClaimKind, Direction, Print


@dataclass(frozen=True)
class Stated:
    """A claim with the experiment it is made about."""

    experiment: str
    claim: Claim

    @property
    def label(self) -> str:
        """Short name, as in `ch06_main:test_accuracy:score`."""
        return f"{self.experiment}:{self.claim.metric}:{self.claim.kind.name}"


def parse(entry: Mapping[str, Any], where: str) -> Claim:
    """Turn a claim as a file or a record holds it into its type.

    Raises:
        ValueError: a field is unknown, missing or not possible; the message says where.
    """
    known = {part.name: part for part in fields(Claim)}
    for key in entry:
        if key not in known:
            raise ValueError(
                f"{where}: a claim has no {key!r}; possible: {', '.join(known)}" + nearest(key, known, 0.5)
            )
    missing = [n for n in ("metric", "source") if n not in entry]
    if missing:
        raise ValueError(f"{where}: the claim {dict(entry)} lacks {', '.join(missing)}")
    values = dict(entry)
    for key, kind in (("kind", ClaimKind), ("direction", Direction)):
        if key in values and not isinstance(values[key], kind):
            if values[key] not in kind.__members__:
                raise ValueError(f"{where}: {key}={values[key]}; possible: {', '.join(kind.__members__)}")
            values[key] = kind[values[key]]
    if "history" in values:
        values["history"] = [_print(one, where) for one in values["history"]]
    for key, value in values.items():
        if known[key].type is float and not isinstance(value, float):
            try:
                values[key] = float(value)  # YAML 1.1 reads 1e-5, without a dot, as text
            except (TypeError, ValueError):
                raise ValueError(f"{where}: {key}={value!r} is no number") from None
    try:
        return Claim(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _print(entry: Any, where: str) -> Print:
    if isinstance(entry, Print):
        return entry
    possible = [part.name for part in fields(Print)]
    if not isinstance(entry, Mapping) or "value" not in entry or not set(entry) <= set(possible):
        raise ValueError(
            f"{where}: history holds {entry!r}; possible: mappings with a value, of: {', '.join(possible)}"
        )
    return Print(**entry)


def of(experiments: Iterable[Experiment]) -> list[Stated]:
    """Every claim of these experiments, in the order of their files."""
    return [
        Stated(experiment.name, parse(entry, str(experiment.path)))
        for experiment in experiments
        for entry in experiment.claims
    ]
