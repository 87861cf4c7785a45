"""The published claims of the experiments, typed; the files are the only place where a claim can be changed."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from typing import Any

from scratchlab.experiments import Experiment
from scratchlab.matching import nearest


class ClaimKind(Enum):
    exact = "exact"
    close = "close"
    count = "count"
    score = "score"
    relation = "relation"
    ratio = "ratio"


class Direction(Enum):
    none = "none"
    higher = "higher"
    lower = "lower"
    same = "same"


@dataclass(kw_only=True, frozen=True)
class Claim:
    """One published statement about a run's metric, with where it was published; nothing can change it."""

    metric: str
    value: Any = None
    """The number, list or text as printed; fractions, not percent. None for a relation."""
    kind: ClaimKind = ClaimKind.exact
    source: str
    quote: str = ""
    n: int = 0
    """Examples behind a proportion; 0 if the value is none."""
    note: str = ""
    """Known discrepancies."""
    tolerance: float = 0.0
    """close: largest relative difference on the reference environment (CPU, float32)."""
    probability: float = 0.0
    """count: the exact probability behind it; `n` is then the number of draws."""
    max_halfwidth: float = 0.0
    """score: half-width of the prediction interval beyond which nothing can be told, in the metric's unit."""
    versus: str = ""
    """relation and ratio: the experiment this one is compared with."""
    direction: Direction = Direction.none
    margin: float = 0.0
    """relation: least difference in the claimed direction; same: largest difference still called the same."""
    judge: str = ""
    """A judged score: who judged, as parts of the judge's card: `backend=ollama, model=llama3`."""
    device: str = ""
    """A time, a ratio of times or a peak of memory: the device it was measured on."""

    def __post_init__(self) -> None:
        what = f"claim {self.kind.name} {self.metric}"
        if self.kind is ClaimKind.relation and (not self.versus or self.direction is Direction.none):
            raise ValueError(f"{what}: a relation needs versus=EXPERIMENT and direction=higher, lower or same")
        if self.direction is Direction.same and self.margin <= 0:
            raise ValueError(f"{what}: margin={self.margin}; `same` needs a margin above 0")
        if self.kind is ClaimKind.count and not (self.n > 0 and 0 < self.probability < 1):
            raise ValueError(
                f"{what}: n={self.n} probability={self.probability}; a count needs draws and a probability"
            )
        if self.kind not in (ClaimKind.relation, ClaimKind.ratio) and self.value is None:
            raise ValueError(f"{what}: no value; only a relation has none")


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
    missing = [n for n, part in known.items() if part.default is MISSING and n not in entry]
    if missing:
        raise ValueError(f"{where}: the claim {dict(entry)} lacks {', '.join(missing)}")
    values = dict(entry)
    for key, kind in (("kind", ClaimKind), ("direction", Direction)):
        if key in values and not isinstance(values[key], kind):
            if values[key] not in kind.__members__:
                raise ValueError(f"{where}: {key}={values[key]}; possible: {', '.join(kind.__members__)}")
            values[key] = kind[values[key]]
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


def of(experiments: Iterable[Experiment]) -> list[Stated]:
    """Every claim of these experiments, in the order of their files."""
    return [
        Stated(experiment.name, parse(entry, str(experiment.path)))
        for experiment in experiments
        for entry in experiment.claims
    ]
