"""Values in the words of a command line's overrides."""

import re
from pathlib import Path
from typing import Any

SWEEP_KEYS = ("plan", "retry", "fail_fast", "measure")
"""Keys that are about the sweep and not about its jobs."""

_NO_TEXT = ("true", "false", "null", "nan", "inf")
"""Words that an override would not take for text."""


def value(given: Any) -> str:
    """A value as an override has it behind `key=`.

    Raises:
        ValueError: no override can hold such a value.
    """
    match given:
        case None:
            return "null"
        case bool():
            return str(given).lower()
        case int() | float():
            return repr(given)
        case list() | tuple():
            return f"[{','.join(map(value, given))}]"
        case Path() | str():
            text = str(given)
            if re.fullmatch(r"[A-Za-z_/][\w./-]*", text) and text.lower() not in _NO_TEXT:
                return text
            # in quotes, Hydra reads a backslash as itself, but where a quote follows
            escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
            return f"'{escaped}'"
    raise ValueError(f"{given!r}: possible: text, a path, a number, true, false, null or a list of them")
