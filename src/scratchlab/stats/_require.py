"""What every function here asks of its numbers; each check says what was asked, found and possible."""

from __future__ import annotations

import math
import operator
from typing import SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def array(name: str, values: ArrayLike, *dimensions: int) -> Floats:
    """Finite floats with one of the allowed numbers of dimensions."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise ValueError(f"{name} must be an array of numbers of equal row lengths; {cause}") from cause
    if found.ndim not in dimensions:
        raise ValueError(f"{name} has shape {found.shape}; possible are {dimensions} dimensions")
    if found.size == 0:
        raise ValueError(f"{name} is empty (shape {found.shape}); at least one number is needed")
    broken = int(np.count_nonzero(~np.isfinite(found)))
    if broken:
        raise ValueError(f"{name} holds {broken} NaN or infinite of {found.size} numbers; all must be finite")
    return found


def number(name: str, value: SupportsFloat, *, above: float | None = None, at_least: float | None = None) -> float:
    found = _real(name, value)
    too_low = (above is not None and found <= above) or (at_least is not None and found < at_least)
    if too_low or not math.isfinite(found):
        bounds = (f" above {above}" if above is not None else "") + (
            f" of at least {at_least}" if at_least is not None else ""
        )
        raise ValueError(f"{name} is {found}; it must be a finite number{bounds}")
    return found


def share(name: str, value: SupportsFloat, *, open_ends: bool = False) -> float:
    """A number between 0 and 1, ends included unless `open_ends`."""
    found = _real(name, value)
    if not (0 < found < 1 if open_ends else 0 <= found <= 1):
        raise ValueError(f"{name} is {found}; it must lie {'inside' if open_ends else 'within'} 0..1")
    return found


def count(name: str, value: SupportsIndex, *, low: int = 0, high: int | None = None) -> int:
    try:
        found = operator.index(value)
    except TypeError as cause:
        raise ValueError(f"{name} is {value!r}; it must be a whole number") from cause
    if found < low or (high is not None and found > high):
        raise ValueError(f"{name} is {found}; possible are {low} to {'any number' if high is None else high}")
    return found


def _real(name: str, value: SupportsFloat) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as cause:
        raise ValueError(f"{name} is {value!r}; it must be a number") from cause


def binary(values: Floats) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def quantile_t(level: float, degrees: int) -> float:
    """Half-width, in standard errors, of a two-sided interval by Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + level) / 2))
