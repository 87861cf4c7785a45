"""The exercises of Appendix C of Build a Large Language Model (From Scratch) as typed, checkable runs."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_OFFERED = {"record": "scratchlab.runs.record"}
"""What `from scratchlab import NAME` gives, whichever module it lies in; imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name in _OFFERED:
        return import_module(_OFFERED[name])
    raise AttributeError(f"module 'scratchlab' has no {name!r}")
