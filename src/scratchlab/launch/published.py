"""The experiments as published, composed when they are asked for: what records are held against."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from scratchlab.launch import compose
from scratchlab.runs.identity import matters


class Compositions:
    """Each experiment is composed once, and only if a record has its name."""

    def __init__(self) -> None:
        self._found: dict[str, Mapping[str, Any] | str] = {}

    def __call__(self, name: str) -> Mapping[str, Any] | str:
        if name not in self._found:
            try:
                self._found[name] = matters(compose.compose([f"experiment={name}"]))
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                self._found[name] = f"experiment={name} cannot be composed: {' '.join(str(error).split())[:160]}"
        return self._found[name]
