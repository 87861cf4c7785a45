"""What the tasks that read records have in common: which records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from scratchlab.runs.config import Run

MOST_SEEDS = 10_000
"""In one range."""


@dataclass(kw_only=True)
class Reading(Run):
    reusable: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    select: str = "*"
    """Globs over the names of runs, comma-separated."""
    seeds: Any = None
    """Only these: `[123,124]`, `123-127` or one number; none: all that are there."""

    def __post_init__(self) -> None:
        seed_list(self.seeds)

    @property
    def seed_numbers(self) -> list[int]:
        return seed_list(self.seeds)


def seed_list(value: Any) -> list[int]:
    """Seeds as a command line may give them.

    Raises:
        ValueError: these are no seeds.
    """
    if value is None or value == "":
        return []
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    parts: Sequence[Any] = value.split(",") if isinstance(value, str) else value
    found: list[int] = []
    try:
        for part in parts:
            first, dash, last = str(part).strip().partition("-")
            numbers = range(int(first), int(last or first) + 1)
            if (dash and not last) or not 0 < len(numbers) <= MOST_SEEDS:
                raise ValueError
            found += numbers
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"seeds={' '.join(str(value).split())[:200]}: possible: [123,124,125], 123-127 (from the "
            f"lower to the higher, at most {MOST_SEEDS:,}) or one whole number"
        ) from None
    return found
