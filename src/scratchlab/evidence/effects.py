"""A grid of choices taken apart: what each choice does on the whole, and whether one changes what another does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

from scratchlab import stats
from scratchlab.evidence.compare import by_seed
from scratchlab.evidence.confounds import unlike
from scratchlab.evidence.labels import levels
from scratchlab.evidence.runs import Arm
from scratchlab.runs.metrics import metric as declaration


@dataclass(frozen=True)
class Effect:
    what: str
    interaction: bool
    value: float
    interval: list[float] | None
    """For new seeds on the same items."""
    p: float | None
    p_holm: float | None
    """Corrected for all effects of the grid."""


def effects(found: Sequence[Arm], metric: str) -> list[Effect]:
    """Main effects and interactions of pairs, if the arms are every combination of two choices or more; else none.

    A main effect is the mean difference between a value of a choice and its first value, over all values of the other
    choices; an interaction is how much that difference is another one under a value of a second choice.
    """
    grid = _grid(found)
    seeds = sorted(set.intersection(*(set(arm.seeds) for arm in found))) if grid else []
    if not grid or len(seeds) < 2 or any(unlike(arm, found[0], metric) for arm in found[1:]):
        return []
    if not all(isinstance(arm.run(seed).metrics.get(metric), int | float) for arm in found for seed in seeds):
        return []
    measured = [
        (place, {s: float(arm.run(s).metrics[metric]) for s in seeds}) for place, arm in zip(grid, found, strict=True)
    ]

    def mean(chosen: Mapping[str, str]) -> list[float]:
        cells = [by for place, by in measured if all(place[key] == value for key, value in chosen.items())]
        return [sum(cell[seed] for cell in cells) / len(cells) for seed in seeds]

    values = {key: list(dict.fromkeys(place[key] for place in grid)) for key in grid[0]}
    raw = []
    for key, (first, *others) in values.items():
        raw += [
            (f"{_word(key, v)} instead of {_word(key, first)}", False, mean({key: v}), mean({key: first}))
            for v in others
        ]
    for one, two in combinations(values, 2):
        for v in values[one][1:]:
            for w in values[two][1:]:
                first, second = values[one][0], values[two][0]
                here = _less(mean({one: v, two: w}), mean({one: first, two: w}))
                there = _less(mean({one: v, two: second}), mean({one: first, two: second}))
                raw.append(
                    (f"{_word(one, v)} under {_word(two, w)} more than under {_word(two, second)}", True, here, there)
                )
    items = declaration(metric).items
    tested = [(what, both, *by_seed(a, b, stats.resolution(items) if items else None)) for what, both, a, b in raw]
    ps = [p for *_, p in tested if p is not None]
    holm = iter(stats.holm(ps) if ps else ())
    return [
        Effect(what, both, summary.value, [summary.low, summary.high], p, next(holm) if p is not None else None)
        for what, both, summary, p in tested
    ]


def _less(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def _grid(found: Sequence[Arm]) -> list[dict[str, str]]:
    """The place of each arm in a full grid of two choices or more; empty where they are none."""
    places = levels(found)
    keys = list(places[0]) if places else []
    if len(keys) < 2 or any(value is None for place in places for value in place.values()):
        return []
    known = [{key: str(value) for key, value in place.items()} for place in places]
    sizes = [len({place[key] for place in known}) for key in keys]
    full = prod(sizes) == len(found) == len({tuple(place.values()) for place in known})
    return known if full else []


def _word(key: str, value: str) -> str:
    return f"{key.split('.')[-1]}={value}"
