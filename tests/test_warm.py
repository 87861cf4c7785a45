"""Runs in forked processes: the records of processes of their own, and no run that another could spoil."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import GENERATED, TINY, command

from scratchlab.evidence.runs import read_run
from scratchlab.launch import jobs, warm
from scratchlab.runs import record

pytestmark = pytest.mark.skipif(not warm.FORKS, reason="no process is forked on this platform")
OF_THE_MOMENT = ("seconds", "started", "peak_memory_bytes", "train_seconds", "tokens_per_second", "git")


def left(out: Path) -> dict[str, Any]:
    """All that runs below `out` left, times, pace and memory apart."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.name == record.RESULT:
            result = json.loads(path.read_text())
            result["metrics"] = {k: v for k, v in result["metrics"].items() if k not in OF_THE_MOMENT}
            found[name] = {key: value for key, value in result.items() if key not in OF_THE_MOMENT}
        elif path.is_file() and path.name not in (record.LOG, record.CONFIG, "pace.jsonl", "pace.png"):
            found[name] = path.read_bytes()
    return found


@pytest.mark.vocabulary
def test_records_are_the_same_to_the_bit_as_those_of_processes_of_their_own(tmp_path: Path) -> None:
    lines = [
        ["experiment=chA_3_parameters", "seed=7"],
        ["task=classify", *TINY, *GENERATED, "model.emb_dim=16"],
        ["experiment=ch05_2_sampling_grid", "temperatures=[0.5,1.4]", "top_ks=[3,0]", "texts=2", "max_new_tokens=5"],
    ]
    assert list(warm.exit_codes([[*line, f"out={tmp_path}/warm"] for line in lines])) == [0, 0, 0]
    for line in lines:
        assert command(*line, f"out={tmp_path}/own", cwd=tmp_path).returncode == 0
    own, forked = left(tmp_path / "own"), left(tmp_path / "warm")
    assert len([name for name in own if name.endswith(record.RESULT)]) == 3
    assert own == forked


def test_what_a_run_sets_is_met_by_no_other_and_a_kill_ends_only_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "MODULE", "becoming")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    before, after, last = (str(tmp_path / name) for name in ("before", "after", "last"))
    lines = [["state", before], ["meddle"], ["killed"], ["state", after], ["kill the server"], ["state", last]]
    loaded: list[float] = []
    assert list(warm.exit_codes(lines, loaded.append)) == [0, 3, -signal.SIGKILL, 0, 1, 0]
    assert len(loaded) == 2 and min(loaded) > 0, "each of the two servers says what it took to load"
    states = [json.loads(Path(path).read_text()) for path in (before, after, last)]
    assert states[0] == states[1] == states[2]
    assert (states[0]["seeded"], states[0]["environment"], states[0]["blocked"]) == ("False", "", "set()")
    assert "float32" in states[0]["dtype"] and states[0]["deterministic"] == "False"
    # that of SIGTERM is the last; SIGINT may come ignored from a shell that runs the tests in the background
    assert "_hand_on" not in states[0]["handlers"] and states[0]["handlers"].endswith(f"{signal.SIG_DFL!r}]")


@pytest.mark.vocabulary
def test_who_stops_waiting_ends_the_run_and_it_leaves_its_record(tmp_path: Path) -> None:
    words = ["task=classify", *TINY, *GENERATED, "tune=all", "train.epochs=400", f"out={tmp_path}"]
    folder = jobs.job(words).folder
    waiting = subprocess.Popen(
        [sys.executable, "-c", f"from scratchlab.launch import warm; list(warm.exit_codes([{words}, {words}]))"],
        stderr=subprocess.PIPE,
        text=True,
        # where tests run in the background, Ctrl-C is ignored by them and by all they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 200
    while not (folder / record.HISTORY).is_file() or (folder / record.HISTORY).stat().st_size < 300:
        assert waiting.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=60)
    assert waiting.returncode != 0 and "KeyboardInterrupt" in said
    assert (read_run(folder).status, read_run(folder).error) == ("interrupted", "SIGTERM")


def test_idle_threads_sleep_soon_unless_it_is_said_how_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert warm.environment()["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert warm.environment()["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert "GOMP_SPINCOUNT" not in warm.environment()
