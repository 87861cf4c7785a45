"""A run that is killed anywhere ends in the same bits when it is started again; tests/kill_points.py does it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "kill_points.py"
pytestmark = pytest.mark.vocabulary


def killed(name: str, *options: str, timeout: float) -> list[str]:
    """What the script prints of one run."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), name, *options], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_run_killed_at_some_file_operations_ends_in_the_same_bits() -> None:
    *_, said = killed("classify", "--step", "150", timeout=280)
    counts = json.loads("[" + ",".join(word for word in said.split() if word.isdigit()) + "]")
    points, tried, wrong = counts
    assert points > 60 and tried >= points // 150 + 2 and wrong == 0


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["classify", "pretrain", "instruct"])
def test_a_run_killed_at_any_file_operation_ends_in_the_same_bits(name: str) -> None:
    killed(name, timeout=7200)
