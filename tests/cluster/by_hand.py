"""What both clusters of the tests offer by hand: `up FOLDER`, which prints what to export, and `down FOLDER`."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def main(description: str | None, up: Callable[[Path], Mapping[str, str]], down: Callable[[Path], None]) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    folder = given.folder.resolve()
    if given.what == "down":
        down(folder)
        return
    try:
        found = up(folder)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    for name, value in found.items():
        print(f"export {name}={value}")
