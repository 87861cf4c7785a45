"""The exercises of Appendix C of Build a Large Language Model (From Scratch) as typed, checkable runs."""

import os
from importlib import import_module
from typing import Any

# large tensors on large pages, where Linux leaves that to programs: torch reads this when it first takes memory, and a
# page that is taken anew each step costs more than what is done with it
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
__all__ = ["compare", "compose", "read", "record", "reproduce", "run"]

_API = "scratchlab.api"
_OFFERED = {"record": "scratchlab.runs.record"} | dict.fromkeys(
    ("compare", "compose", "read", "reproduce", "run"), _API
)
"""What `from scratchlab import NAME` gives, and the module it is or lies in; imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module 'scratchlab' has no {name!r}; it offers {', '.join(__all__)}")
    module = import_module(_OFFERED[name])
    return getattr(module, name) if _OFFERED[name] == _API else module


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
