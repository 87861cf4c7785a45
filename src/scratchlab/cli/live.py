"""Where a sweep stands, in a line that is said whenever a job starts: which arm, what else is running, how long to go.

Lines, and no picture that is painted over: they can be read in a pipe, in a log, and when many processes speak at once.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from scratchlab.cli.sweep_folder import Expected, Sweep
from scratchlab.launch import plan_table
from scratchlab.launch.plan import Planned

MOST_TOLD = 8
"""Running jobs that are told by number."""


def expected(planned: Sequence[Planned]) -> dict[int, Expected]:
    """What is known of every job that will run; arms in the order in which they first appear in the sweep."""
    arms: dict[tuple[str, ...], int] = {}
    for one in planned:
        arms.setdefault(_arm(one), len(arms) + 1)
    own = plan_table.own_words(planned)
    return {
        one.number: Expected(arms[_arm(one)], len(arms), one.estimate.seconds, own[one.number])
        for one in planned
        if one.runs
    }


def _arm(one: Planned) -> tuple[str, ...]:
    return tuple(word for word in one.job.overrides if not word.startswith("seed="))


def line(sweep: Sweep, place: int, number: int, words: str) -> str:
    """What is said when job `number` starts, the `place`-th (from 0) of those that launchers were given.

    `words`: the job in full, for where nothing is known of the others.
    """
    order, (begun, known) = sweep.order, sweep.expected()
    if number in known and known[number].words:
        words = f"job {number} ({known[number].words})"
    said = f"{place + 1} of {max(len(order), place + 1)}: {words}"
    if number in known:
        said += f"; arm {known[number].arm} of {known[number].arms}"
    others = sorted(sweep.running().values())
    if others:
        more = f" and {len(others) - MOST_TOLD} more" if len(others) > MOST_TOLD else ""
        said += f"; also running: {', '.join(map(str, others[:MOST_TOLD]))}{more}"
    waiting = order[place:]
    left = remaining(known, order[:place], waiting, others, time.time() - begun) if begun else None
    return said if left is None else f"{said}; about {plan_table.time(left)} to go"


def remaining(
    known: Mapping[int, Expected], before: Iterable[int], waiting: Iterable[int], running: Sequence[int], elapsed: float
) -> float | None:
    """Seconds until the jobs that wait are done; None where nothing tells.

    By the plan's estimates at first, and as soon as jobs have ended, by how long those of this sweep took. A job of
    which nothing is known counts as the mean of the others. `running`: jobs that have begun and not ended.
    """
    estimates = {number: one.seconds for number, one in known.items() if one.seconds is not None}
    mean = fmean(estimates.values()) if estimates else None
    ended = [number for number in before if number not in running]
    if mean is None and not ended:
        return None

    def weight(numbers: Iterable[int]) -> float:
        return sum(estimates.get(number, mean or 1.0) for number in numbers)

    work = weight(waiting) + weight(running) / 2  # half done, on the average
    if ended and elapsed > 0:
        return work * elapsed / (weight(ended) + weight(running) / 2)
    return work / (1 + len(running))
