"""What `__init__.py` gives on demand, for type checkers."""

from scratchlab.api import compare as compare
from scratchlab.api import compose as compose
from scratchlab.api import read as read
from scratchlab.api import reproduce as reproduce
from scratchlab.api import run as run
from scratchlab.runs import record as record

__version__: str
__all__ = ["compare", "compose", "read", "record", "reproduce", "run"]
