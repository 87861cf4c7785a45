"""What launchers that hand jobs to a scheduler share: packages that may be missing, stops and losses."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.utils import filter_overrides

from scratchlab.cli.sweep_folder import Sweep
from scratchlab.runs import signals

FEW = 5
"""Lost jobs that are named one by one."""


def needs(name: str, launch: str) -> ModuleType:
    """A module of an optional part of this package.

    Raises:
        RuntimeError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeError(
            f"launch={launch}: {error.name or name} is not installed; possible: pip install 'scratchlab[{launch}]', "
            "or launch=local or parallel"
        ) from None


def stop_wanted(launcher: Any) -> str:
    """Why the sweep starts no more jobs; empty if it does."""
    return Sweep(Path(launcher.config.hydra.sweep.dir)).stopped()


def is_signal(reason: str) -> bool:
    """Whether jobs that run are to end too."""
    return reason in signals.ASKING


def words(overrides: list[str]) -> str:
    """A job's overrides, in a line."""
    return " ".join(filter_overrides(overrides))


def lost(where: str, told: list[str], look: str = "") -> RuntimeError:
    """An error that tells the jobs that a scheduler did not bring to their end."""
    more = [f"and {len(told) - FEW} more"] if len(told) > FEW else []
    return RuntimeError(f"{where} lost {len(told)} jobs: {'; '.join([*told[:FEW], *more])}{look}")
