"""Find the points of a grid of hyperparameters that are the same run as another one (chapter 5, bonus)."""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.data.config import CorpusConfig
from scratchlab.runs.checks import at_least
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

AXES = ("batch_sizes", "drop_rates", "warmups", "weight_decays", "peak_rates", "initial_rates", "min_rates", "epochs")


@dataclass(kw_only=True)
class Grid(Run):
    """The search of the book's script: a warm-up to a peak rate, a cosine down, clipping once the warm-up is over."""

    task: ClassVar[str] = "grid"

    data: CorpusConfig
    max_length: int = 256
    """Tokens of a window; windows do not overlap."""
    batch_sizes: list[int] = field(default_factory=lambda: [2, 4, 8, 16])
    drop_rates: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2])
    warmups: list[int] = field(default_factory=lambda: [10, 20, 30])
    """Batches in which the rate climbs."""
    weight_decays: list[float] = field(default_factory=lambda: [0.1, 0.01, 0.0])
    peak_rates: list[float] = field(default_factory=lambda: [0.0001, 0.0005, 0.001, 0.005])
    initial_rates: list[float] = field(default_factory=lambda: [0.00005, 0.0001])
    min_rates: list[float] = field(default_factory=lambda: [0.00005, 0.00001, 0.0001])
    epochs: list[int] = field(default_factory=lambda: [5, 10, 15, 20, 25])

    def __post_init__(self) -> None:
        at_least(1, self, "max_length")
        for key in AXES:
            values = getattr(self, key)
            least = 1 if key in ("batch_sizes", "warmups", "epochs") else 0
            if not values or min(values) < least:
                raise ValueError(f"{key}={values}: needs at least one value, and none below {least}")

    def inputs(self) -> dict[str, str]:
        return self.data.inputs()


def grid(config: Grid, record: "Record") -> dict[str, Any]:
    from scratchlab.data import corpus
    from scratchlab.text.tokenizer import gpt2

    ids = corpus.split(corpus.read(config.data), config.data.train_fraction, gpt2())["train"]
    windows = len(corpus.Windows(ids, config.max_length, config.max_length))
    runs: Counter[tuple[Any, ...]] = Counter()
    without_decay = ends_with_warmup = 0
    axes: tuple[list[Any], ...] = (
        *(config.batch_sizes, config.drop_rates, config.weight_decays, config.epochs),
        *(config.warmups, config.peak_rates, config.initial_rates, config.min_rates),
    )
    for batch, drop, decay, epochs, warmup, peak, initial, lowest in itertools.product(*axes):
        total = windows // batch * epochs
        without_decay += total <= warmup
        ends_with_warmup += total == warmup
        runs[batch, drop, decay, epochs, *_schedule(total, warmup, peak, initial, lowest)] += 1
    points = sum(runs.values())
    return {
        "windows": windows,
        "points": points,
        "distinct_points": len(runs),
        "copies": points - len(runs),
        "without_decay": without_decay,
        "ends_with_warmup": ends_with_warmup,
    }


def _schedule(total: int, warmup: int, peak: float, initial: float, lowest: float) -> tuple[Any, ...]:
    """All that decides the rate and the clipping of every batch, and nothing else.

    The first batch has number 1. Below `warmup` the rate climbs in a line and nothing is clipped; from it on the rate
    falls along a cosine, which has no length where training ends there.
    """
    climbs = tuple(round(initial + n * (peak - initial) / warmup, 12) for n in range(1, min(warmup, total + 1)))
    if total < warmup:
        return climbs, ()
    return climbs, (peak, total - warmup, lowest if total > warmup else None)
