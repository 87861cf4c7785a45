"""What a metric is: its unit, which way is better, what acts on it, and how it is printed."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from scratchlab.runs.checks import is_number


class Unit(Enum):
    fraction = auto()
    """0 to 1; printed in percent, differences in points."""
    points = auto()
    """0 to 100, as a judge gives them."""
    nats = auto()
    bits = auto()
    tokens = auto()
    parameters = auto()
    words = auto()
    count = auto()
    bytes = auto()
    mebibytes = auto()
    seconds = auto()
    per_second = auto()
    ratio = auto()
    value = auto()
    """A number, or a table of numbers, that has no unit."""
    ids = auto()
    shape = auto()
    text = auto()
    flag = auto()
    card = auto()
    """Who did something, as a mapping."""


class Better(Enum):
    higher = auto()
    lower = auto()
    neither = auto()


class Act(Enum):
    """What acts on a number besides the configuration: two that differ in it are no pair."""

    judge = auto()
    clock = auto()
    """It was timed: it belongs to its device and differs from run to run."""
    device = auto()
    """It tells about the process on its device, and differs from run to run."""
    targets = auto()
    """It is a loss over targets, which masking or a template chooses."""


@dataclass(frozen=True)
class Metric:
    name: str
    unit: Unit
    better: Better = Better.neither
    split: str = ""
    """train, val or test; empty where it is about none."""
    acts: tuple[Act, ...] = ()
    preferred: int = 0
    """Place among those that are compared if none is asked for; 0: never by preference."""
    column: int = 0
    """Place among the columns of a short table; 0: only where it is compared."""
    lost_with: tuple[str, ...] = ()
    """Metrics that, not finite, show that the run behind this one diverged."""
    cap: float = 0.0
    """Half-width beyond which a prediction interval tells nothing; 0: 5% of the printed value."""
    items: int = 0
    """It is a share of right predictions: of so many examples in the book's split, where a record holds none."""
    table: bool = False
    """It is a number for each of several settings, not one."""
    seedless: bool = False
    """No seed moves it: it is counted from shapes, settings or a text."""
    from_predictions: bool = False
    """The record's own predictions give it to the last digit."""
    quantity: str = ""
    """What an axis that it shares with others is called; default: its name in words."""
    digits: int | None = None
    """Decimals in a table's cell, where the unit's own are not right."""
    declared: bool = True

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def judged(self) -> bool:
        return Act.judge in self.acts

    @property
    def timed(self) -> bool:
        return Act.clock in self.acts

    @property
    def steady(self) -> bool:
        """Whether the same run, done again, gives it again."""
        return not {Act.clock, Act.device} & set(self.acts)

    @property
    def scale(self) -> int:
        return 100 if self.unit is Unit.fraction else 1

    def shown(self, value: Any) -> str:
        """A value for a sentence or a cell: fractions in percent, long lists and texts cut."""
        if value is None:
            return "-"
        if is_number(value):
            if self.unit is Unit.fraction:
                return f"{100 * value:.2f}%"
            return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
        text = str(value)
        return text if len(text) <= 60 else f"{text[:57]}..."

    def difference(self, value: float) -> str:
        """A difference for a sentence; of fractions in points."""
        return f"{100 * value:+.2f} points" if self.unit is Unit.fraction else f"{value:+.4g}"

    def width(self, value: float) -> str:
        """A half-width or the size of a difference, without a sign."""
        return f"{100 * value:.2f} points" if self.unit is Unit.fraction else f"{value:.4g}"

    def cell(self, value: float) -> str:
        """A value for a column of such values: fractions in percent, without a sign for it."""
        digits = self.digits if self.digits is not None else _DIGITS.get(self.unit, 3)
        return f"{self.scale * value:.{digits}f}"

    def difference_cell(self, value: float) -> str:
        return f"{100 * value:+.2f}" if self.unit is Unit.fraction else f"{value:+.4g}"


_DIGITS = {Unit.fraction: 2, Unit.seconds: 1}
