"""A published statement about a run's metric, as the run's configuration carries it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class ClaimKind(Enum):
    exact = "exact"
    close = "close"
    count = "count"
    score = "score"
    relation = "relation"
    ratio = "ratio"
    finding = "finding"
    """A relation that was published of one model, asked of another: its answer says nothing of what was published."""


RELATIONS = (ClaimKind.relation, ClaimKind.finding)
"""Kinds that say how two experiments stand to each other: by `versus`, `direction` and `margin`."""


class Direction(Enum):
    none = "none"
    higher = "higher"
    lower = "lower"
    same = "same"


@dataclass(kw_only=True, frozen=True)
class Print:
    """One time that a number was printed: the value, and what is known of the run behind it."""

    value: Any
    device: str = ""
    torch: str = ""
    """Version or versions, as `2.2.1 to 2.6`."""
    date: str = ""
    edition: str = ""
    """Commit or edition, or what was different in it."""
    source: str = ""
    """Default: that of the claim."""
    replicate: bool = False
    """Another run of the same recipe, with draws of its own: one of a sample."""

    @property
    def words(self) -> str:
        """The run behind it, in words."""
        parts = (self.device, self.torch and f"torch {self.torch}", self.date, self.edition)
        return ", ".join(part for part in parts if part) or "no more is known"


@dataclass(kw_only=True, frozen=True)
class Claim:
    """One published statement about a run's metric, with where it was published; nothing can change it."""

    metric: str
    value: Any = None
    """The number, list or text as printed; fractions, not percent. None for a relation and a finding."""
    kind: ClaimKind = ClaimKind.exact
    source: str
    quote: str = ""
    """A few words as printed; those of a finding are what is asked again."""
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
    """relation, finding and ratio: the experiment this one is compared with."""
    direction: Direction = Direction.none
    margin: float = 0.0
    """relation, finding: least difference in the claimed direction; same: largest that is still called the same."""
    asks: str = ""
    """finding: the experiment of which it was published ..."""
    asks_versus: str = ""
    """finding: ... and the one that was held against."""
    judge: str = ""
    """A judged score: who judged, as parts of the judge's card: `backend=ollama, model=llama3`."""
    device: str = ""
    """A time, a ratio of times or a peak of memory: the device it was measured on."""
    history: list[Print] = field(default_factory=list)
    """Every time that this cell was printed, `value` itself included, where it was printed more than once."""

    def __post_init__(self) -> None:
        what = f"claim {self.kind.name} {self.metric}"
        if self.kind in RELATIONS and (not self.versus or self.direction is Direction.none):
            raise ValueError(f"{what}: it needs versus=EXPERIMENT and direction=higher, lower or same")
        if self.is_finding and not (self.asks and self.asks_versus and self.quote):
            raise ValueError(
                f"{what}: asks={self.asks} asks_versus={self.asks_versus} quote={self.quote!r}; a finding needs all "
                "three: the two experiments of which it was published, and the words"
            )
        if not self.is_finding and (self.asks or self.asks_versus):
            raise ValueError(f"{what}: asks={self.asks} asks_versus={self.asks_versus}; only a finding asks again")
        if self.history and self.value is None:
            raise ValueError(f"{what}: a history of values, but no value")
        if self.direction is Direction.same and self.margin <= 0:
            raise ValueError(f"{what}: margin={self.margin}; `same` needs a margin above 0")
        if self.kind is ClaimKind.count and not (self.n > 0 and 0 < self.probability < 1):
            raise ValueError(
                f"{what}: n={self.n} probability={self.probability}; a count needs draws and a probability"
            )
        if self.kind not in (*RELATIONS, ClaimKind.ratio) and self.value is None:
            raise ValueError(f"{what}: no value; only a relation has none")
        if self.is_finding and self.value is not None:
            raise ValueError(f"{what}: value={self.value}; a number of one model is none of another's")

    @property
    def is_finding(self) -> bool:
        return self.kind is ClaimKind.finding
