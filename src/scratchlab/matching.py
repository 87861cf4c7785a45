"""Names as they are typed: globs that select them, and the nearest of those that are possible."""

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase


def globs(text: str) -> list[str]:
    """The globs of a comma-separated list; none at all match nothing."""
    return [glob for part in text.split(",") if (glob := part.strip())]


def matches(name: str, wanted: str) -> bool:
    """Whether a name matches one of the comma-separated globs, upper and lower case told apart."""
    return any(fnmatchcase(name, glob) for glob in globs(wanted))


def nearest(word: str, possible: Iterable[str], alike: float = 0.5) -> str:
    """The most similar of `possible`, as `; nearest: X`; empty if none is `alike` (0: anything is, 1: only itself)."""
    close = difflib.get_close_matches(word, list(possible), 1, alike)
    return f"; nearest: {close[0]}" if close else ""
