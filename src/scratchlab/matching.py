"""Names as they are typed: globs that select them, and the nearest of those that are possible."""

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase


def parts(text: str) -> list[str]:
    """The parts of a comma-separated list, empty ones left out."""
    return [part for given in text.split(",") if (part := given.strip())]


def matches(name: str, globs: str) -> bool:
    """Whether a name matches one of the comma-separated globs, upper and lower case told apart."""
    return any(fnmatchcase(name, glob) for glob in parts(globs))


def nearest(word: str, possible: Iterable[str], alike: float = 0.6) -> str:
    """The most similar of `possible`, as `; nearest: X`; empty if none is `alike` (0: anything is, 1: only itself)."""
    close = difflib.get_close_matches(word, list(possible), 1, alike)
    return f"; nearest: {close[0]}" if close else ""
