"""The arms of an ablation: which settings each one has, from one experiment and a few factors."""

from dataclasses import dataclass
from enum import Enum
from itertools import combinations

CONTROL_SHIFT = 1000
"""How far the seeds of the A/A control lie from those of the arms."""


class Design(Enum):
    one_at_a_time = "one_at_a_time"
    """Each factor alone, against none."""
    leave_one_out = "leave_one_out"
    """All factors but one, against all."""
    factorial = "factorial"
    """Every combination, against none."""


@dataclass(frozen=True)
class Planned:
    """One arm before it is run."""

    label: str
    overrides: tuple[str, ...]
    shift: int = 0
    """Added to the seeds; not 0 for the A/A control."""

    @property
    def keys(self) -> list[str]:
        return [override.partition("=")[0] for override in self.overrides]


def arms(factors: list[str], design: Design, *, control: bool, shuffled_labels: bool) -> list[Planned]:
    """The arms, the baseline first.

    Raises:
        ValueError: there is nothing to vary, or a factor is no `key=value`.
    """
    for factor in factors:
        if not all(factor.partition("=")):
            raise ValueError(f"factors: {factor!r} is no override; possible: key=value, as in position=first")
    if len(set(factors)) < len(factors):
        raise ValueError(f"factors={','.join(factors)}: one stands there twice")
    if not factors and not control and not shuffled_labels:
        raise ValueError("factors is empty: nothing to vary; possible: factors=position=first,tune=all")
    match design:
        case Design.one_at_a_time:
            sets = [(), *((factor,) for factor in factors)]
        case Design.leave_one_out:
            sets = [tuple(factors), *(tuple(f for f in factors if f != left) for left in factors)]
        case Design.factorial:
            sets = [chosen for size in range(len(factors) + 1) for chosen in combinations(factors, size)]
    found = [Planned(_label(chosen, factors, design), tuple(chosen)) for chosen in sets]
    base = found[0].overrides
    if control:
        found.append(Planned("A/A control", base, CONTROL_SHIFT))
    if shuffled_labels:
        found.append(Planned("shuffled labels", (*base, "data.shuffle_labels=true")))
    return found


def _label(chosen: tuple[str, ...], factors: list[str], design: Design) -> str:
    if design is Design.leave_one_out:
        left = [factor for factor in factors if factor not in chosen]
        return f"without {left[0]}" if left else "all factors"
    return ", ".join(chosen) or "baseline"
