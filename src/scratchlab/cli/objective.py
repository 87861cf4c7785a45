"""What a sweeper that searches, as Optuna's, is told of a run: one number, and which it is can be said."""

import math
from collections.abc import Mapping
from typing import Any

from scratchlab.matching import nearest
from scratchlab.runs.checks import is_number
from scratchlab.runs.config import Run
from scratchlab.runs.metrics import metric, preferred

NONE = math.nan
"""Of a run that failed or measures no number: such sweepers take it for a trial that failed, and go on."""


def of(config: Run, measured: Mapping[str, Any]) -> float:
    """The metric named by `optimize`; else the first choice among those of the validation split, else among all.

    Raises:
        ValueError: the run has no such number.
    """
    numbers = {name: float(value) for name, value in measured.items() if is_number(value)}
    if config.optimize:
        if config.optimize not in numbers:
            raise ValueError(
                f"optimize={config.optimize}: task={config.task} has no such number; possible: {', '.join(numbers)}"
                + nearest(config.optimize, numbers)
            )
        return numbers[config.optimize]
    there = [name for name in preferred() if name in numbers]
    # what is chosen by the test split is no longer measured by it
    there += [name for name in numbers if metric(name).split == "val"]
    chosen = next((name for name in there if metric(name).split == "val"), next(iter(there), ""))
    return numbers.get(chosen, NONE)
