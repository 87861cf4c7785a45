"""A run's folder, whatever happens to the run."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import GENERATED, TINY, command

import scratchlab
from scratchlab.runs import record
from scratchlab.runs.claim import Claim
from scratchlab.runs.config import Run, TrackingConfig
from scratchlab.runs.identity import fingerprint
from scratchlab.runs.tracking import Tracker


@dataclass(kw_only=True)
class Measure(Run):
    task: ClassVar[str] = "measure"
    value: float = 1.0

    def inputs(self) -> dict[str, str]:
        return {"data": os.environ.get("TEST_DATA_HASH", "same")}


def keep(config: Run, task: record.Task) -> tuple[dict[str, Any], bool]:
    return record.keep(config, task, changes={"value": 2.0}, tracker=Tracker(TrackingConfig()))


def measure(config: Measure, run: record.Record) -> dict[str, Any]:
    run.history(step=0, batch_loss=config.value)
    run.device = "cpu"
    return {"twice": 2 * config.value, "ids": [1, 2], "undefined": float("nan")}


def fail(config: Measure, run: record.Record) -> dict[str, Any]:
    run.history(step=0, batch_loss=1.0)
    raise ValueError("no such thing")


@pytest.fixture
def config(tmp_path: Path) -> Measure:
    return Measure(name="mine", out=str(tmp_path), claims=[Claim(metric="twice", value=2.0, source="test")])


def test_a_finished_run_leaves_config_history_log_and_every_field_of_the_result(config: Measure) -> None:
    result, reused = keep(config, measure)
    folder = record.folder_of(config)
    assert not reused and folder.name == fingerprint(config)
    assert {p.name for p in folder.iterdir()} >= {"config.yaml", "history.jsonl", "log.txt", "result.json"}
    on_disk = json.loads((folder / "result.json").read_text())
    assert set(on_disk) >= {
        *("name", "task", "status", "error", "fingerprint", "changes", "seed", "metrics", "claims", "seconds"),
        *("started", "versions", "git", "hashes", "device", "signature"),
    }  # fmt: skip
    assert on_disk["status"] == "done" and on_disk["changes"] == {"value": 2.0}
    assert on_disk["metrics"]["peak_memory_bytes"] > 1_000_000
    assert on_disk["versions"]["python"] and on_disk["hashes"] == {"data": "same"}
    assert result["metrics"]["ids"] == [1, 2]


def test_json_stays_json_when_a_number_is_none_and_it_is_read_back_as_nan(config: Measure) -> None:
    keep(config, measure)
    text = (record.folder_of(config) / "result.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    found = record.read_result(record.folder_of(config))
    assert found is not None and found["metrics"]["undefined"] != found["metrics"]["undefined"]


def test_a_finished_run_is_not_repeated_unless_forced_and_then_nothing_is_lost(config: Measure) -> None:
    keep(config, measure)
    assert keep(config, fail)[1], "the same configuration must find the finished run"
    config.force = True
    _, reused = keep(config, measure)
    assert not reused
    earlier = list((record.folder_of(config) / "previous").glob("*/result.json"))
    assert len(earlier) == 1


def test_a_run_whose_data_changed_is_run_again(config: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(config, measure)
    monkeypatch.setenv("TEST_DATA_HASH", "other")
    result, reused = keep(config, measure)
    assert not reused and result["hashes"]["data"] == "other"


def test_a_failed_run_leaves_its_error_its_history_and_is_run_again(config: Measure) -> None:
    with pytest.raises(ValueError, match="no such thing"):
        keep(config, fail)
    found = record.read_result(record.folder_of(config))
    assert found is not None
    assert found["status"] == "failed" and found["error"] == "ValueError: no such thing"
    assert record.read_history(record.folder_of(config)) == [{"step": 0, "batch_loss": 1.0}]
    assert keep(config, measure)[0]["status"] == "done"
    assert record.read_history(record.folder_of(config)) == [{"step": 0, "batch_loss": 1.0}]


def test_two_writers_of_one_run_are_refused(config: Measure) -> None:
    def nested(inner: Measure, run: record.Record) -> dict[str, Any]:
        with pytest.raises(RuntimeError, match="another process is writing"):
            keep(inner, measure)
        return {}

    assert keep(config, nested)[0]["status"] == "done"


def test_a_history_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"step": 0, "batch_loss": "inf"}\n{"step": 1, "bat')
    assert record.read_history(tmp_path) == [{"step": 0, "batch_loss": float("inf")}]


def test_many_records_read_as_one_table(config: Measure, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        config.seed = seed
        keep(config, measure)
    other = Measure(name="other", out=str(tmp_path))
    with pytest.raises(ValueError):
        keep(other, fail)
    table = scratchlab.read(tmp_path)
    assert len(table) == 4
    assert sorted(table["seed"]) == [1, 2, 3, 123]
    assert set(table["metrics.twice"].dropna()) == {2.0} and set(table["config.value"]) == {1.0}
    assert list(scratchlab.read(tmp_path, "oth*")["status"]) == ["failed"]
    assert scratchlab.read(tmp_path, "nothing").empty


def start_training(cwd: Path, epochs: int) -> tuple[subprocess.Popen[str], list[str]]:
    words = ["task=classify", *TINY, *GENERATED, f"train.epochs={epochs}", "tune=all"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scratchlab", *words],
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
        # where tests run in the background, Ctrl-C is ignored by them and by all they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if any(path.stat().st_size > 300 for path in cwd.glob("outputs/*/*/history.jsonl")):
            return process, words
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.1)
    process.kill()
    pytest.fail("training did not start")


@pytest.mark.vocabulary
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(asks, marks=pytest.mark.slow) for asks in (signal.SIGTERM, signal.SIGINT))],
)
def test_a_killed_run_leaves_a_readable_record_or_none_and_can_be_run_again(number: int, tmp_path: Path) -> None:
    process, words = start_training(tmp_path, epochs=12)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    (folder,) = record.folders(tmp_path / "outputs")
    result = record.read_result(folder)
    if number == signal.SIGKILL:
        assert result is None
    else:
        assert result is not None and result["status"] == "interrupted"
        assert process.returncode == (143 if number == signal.SIGTERM else 130)
    assert record.read_history(folder), "what was measured before stays readable"
    again = command(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    result = record.read_result(folder)
    assert result is not None and result["status"] == "done"
    assert list((folder / "previous").glob("*/history.jsonl")), "the killed attempt is kept"
