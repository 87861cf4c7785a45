"""What tests/test_torchrun.py starts under torchrun: one run after another, as the command would do each alone.

Each line of the file that it is given is a list of overrides in JSON. One that begins with `FAIL` fails in process 1;
one that begins with `MAIN` goes through the whole command, Hydra included.
"""

import json
import os
import sys
from pathlib import Path

from scratchlab import __main__
from scratchlab.launch import compose, execute
from scratchlab.runs.record import Record


def fail_at_batch_5() -> None:
    history = Record.history

    def failing(self: Record, **values: object) -> None:
        if values.get("step") == 5 and os.environ["RANK"] == "1":
            raise ValueError("made to fail")
        history(self, **values)  # type: ignore[arg-type]

    Record.history = failing  # type: ignore[method-assign]


def main() -> None:
    for line in Path(sys.argv[1]).read_text().splitlines():
        overrides = json.loads(line)
        if overrides[0] == "MAIN":
            sys.argv[1:] = overrides[1:]
            __main__.main()
        elif overrides[0] == "FAIL":
            fail_at_batch_5()
            try:
                execute.run(compose.compose(overrides[1:]))
            except (RuntimeError, ValueError):
                continue
            raise AssertionError("it did not fail")
        else:
            execute.run(compose.compose(overrides))


main()
