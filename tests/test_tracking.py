"""W&B is a replica: it gets everything, and whatever happens to it, the record is whole and says what W&B lacks."""

import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from synthetic import write_predictions
from wandb_server import serving

from scratchlab.__main__ import run as run_task
from scratchlab.launch import compose
from scratchlab.report import plots
from scratchlab.runs import record, replica, tracking
from scratchlab.runs.config import Run, TrackingConfig, TrackingMode
from scratchlab.runs.tracking import State, Tracker, read_state

OFFLINE = TrackingConfig(mode=TrackingMode.offline, entity="me", tags=["a", "b"], notes="why")
ROWS: list[dict[str, Any]] = [
    {"step": 0, "batch_loss": 2.5},
    {"step": 0, "train_loss": 2.25, "val_loss": math.nan, "tokens_seen": 64},
    {"step": 1, "batch_loss": math.inf},
    {"epoch": 1, "train_accuracy": 0.1 + 0.2, "val_accuracy": 1.0},
]


@dataclass(kw_only=True)
class Measure(Run):
    task: ClassVar[str] = "measure"


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own login or settings; W&B's own folders are the test's."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def keep(
    config: Run, task: Callable[[Any, record.Record], dict[str, Any]], tracker: Tracker | None = None
) -> tuple[Path, State]:
    """Do a run, and wait until nobody tells W&B of it any more."""
    record.keep(config, task, changes={}, tracker=tracker or Tracker(config.tracking))
    return record.folder_of(config), told(record.folder_of(config))


def told(folder: Path) -> State:
    ends = time.monotonic() + 150
    while time.monotonic() < ends:
        state = read_state(folder)
        if state is not None and state.complete is not None:
            return state
        time.sleep(0.1)
    raise AssertionError(f"{folder}: W&B is told without end: {read_state(folder)}")


def logs(rows: list[dict[str, Any]]) -> Callable[[Any, record.Record], dict[str, Any]]:
    def task(config: Any, kept: record.Record) -> dict[str, Any]:
        for row in rows:
            kept.history(**row)
        return {"val_loss": 2.0, "test_accuracy": 0.5}

    return task


def file_of(folder: Path, state: State) -> replica.Held:
    return replica.read_file(folder / state.place)


def synced(out: Path, *words: str) -> dict[str, Any]:
    """What `task=sync` says: runs, those that differ, and its table."""
    offline = [] if any(word.startswith("tracking.mode=") for word in words) else ["tracking.mode=offline"]
    result = run_task(compose.compose(["task=sync", f"out={out}", *offline, *words]))
    table = json.loads((Path(result["folder"]) / "sync.json").read_text())
    return result["metrics"] | {"table": table, "exit_code": result["exit_code"]}


def test_an_offline_run_holds_every_metric_table_plot_and_verdict_of_its_record(tmp_path: Path) -> None:
    config = Measure(name="whole", out=str(tmp_path / "out"), tracking=OFFLINE)

    def task(config: Any, kept: record.Record) -> dict[str, Any]:
        import numpy as np

        write_predictions(kept.folder, np.array([0, 1, 1]))
        plots.curves(ROWS[:2], ("train_loss",), by="step", path=kept.folder / "loss.png")
        return logs(ROWS)(config, kept)

    tracker = Tracker(OFFLINE, sweep="20261125", verdicts=lambda: {"test_accuracy:score": "REPRODUCED"})
    folder, state = keep(config, task, tracker)
    assert (state.complete, state.missed, state.why, state.status) == (True, [], "", "done")
    held = file_of(folder, state)
    assert [step for step, _ in held.rows] == [0, 1, 2, 3]
    assert [{k: v for k, v in row.items() if v == v} for _, row in held.rows] == [
        {k: v for k, v in row.items() if v == v} for row in ROWS
    ]
    assert held.summary["test_accuracy"] == 0.5 and held.summary["status"] == "done"
    assert held.summary["verdict"] == {"test_accuracy:score": "REPRODUCED"}
    assert held.summary["predictions"]["nrows"] == 3 and held.summary["loss"]["_type"] == "image-file"
    assert f"record-{folder.name}" in held.artifacts
    assert replica.differences(folder, held) == []
    said = messages(folder / state.place)
    about = next(m.run for m in said if m.WhichOneof("record_type") == "run")
    assert (about.run_id, about.run_group, about.job_type) == (folder.name, "20261125", "measure")
    assert (about.entity, list(about.tags), about.notes) == ("me", ["a", "b"], "why")
    axes = {m.metric.name: m.metric.step_metric for m in said if m.WhichOneof("record_type") == "metric"}
    assert axes["val_loss"] == axes["batch_loss"] == "step" and axes["val_accuracy"] == "epoch"
    assert axes["tokens_seen"] == axes["step"] == axes["epoch"] == ""


def messages(path: Path) -> list[Any]:
    from wandb.proto import wandb_internal_pb2 as protocol

    found = []
    for content in replica._records(path.read_bytes()):
        found.append(protocol.Record())
        found[-1].ParseFromString(content)
    return found


def kills_the_service(config: Any, kept: record.Record) -> dict[str, Any]:
    """Half of the history, then W&B's process is killed, then the other half."""
    for row in ROWS[:2]:
        kept.history(**row)
    ends = time.monotonic() + 100
    while not (service := [p for p in psutil.Process().children(recursive=True) if p.name().startswith("wandb-core")]):
        assert time.monotonic() < ends, "W&B's service never started"
        time.sleep(0.05)
    while not (state := read_state(kept.folder)) or not state.place:
        time.sleep(0.05)
    service[0].kill()
    return logs(ROWS[2:])(config, kept)


def test_a_run_whose_w_and_b_was_killed_is_whole_and_is_replayed_until_both_sides_agree(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder, state = keep(Run(name="killed", out=str(out), tracking=OFFLINE), kills_the_service)
    result = record.read_result(folder)
    assert result is not None and result["status"] == "done" and result["metrics"]["test_accuracy"] == 0.5
    assert len(record.read_history(folder)) == 4
    assert state.complete is False and state.missed and state.why
    said = synced(out, "verify=true")
    assert (said["differences"], said["exit_code"]) == (1, 1) and "rows that are missing" in said["table"][0]["so"]
    assert read_state(folder) == state, "to verify sends nothing"
    said = synced(out)
    assert (said["runs"], said["differences"], said["exit_code"]) == (1, 0, 0), said
    said = synced(out, "verify=true")
    assert (said["differences"], said["exit_code"]) == (0, 0) and said["table"][0]["so"] == "both sides agree"
    now = read_state(folder)
    assert now is not None and (now.id, now.entity, now.group) == (state.id, "me", "killed") and now.complete
    assert [path.parent.name for path in folder.glob("wandb/offline-run-*/*.wandb")] == [Path(now.place).parent.name]
    row = dict(ROWS[0], batch_loss=2.75)
    (folder / record.HISTORY).write_text("".join(json.dumps(r) + "\n" for r in (row, *ROWS[1:3])))
    (line,) = synced(out, "verify=true")["table"]
    assert line["so"] == "rows that differ: 1 of 3; rows that the record has not: 4 of 3"


@pytest.mark.slow
def test_a_server_that_nobody_reaches_costs_the_run_nothing_and_is_told_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    config = Run(name="alone", out=str(tmp_path / "out"), tracking=TrackingConfig(mode=TrackingMode.auto))
    assert tracking.logged_in()
    folder, state = keep(config, logs(ROWS))
    assert record.read_result(folder)["status"] == "done"  # type: ignore[index]
    assert (state.mode, state.complete, state.missed) == ("online", False, ["the whole run"])
    assert state.why and "0" * 40 not in (folder / tracking.STATE).read_text()


def test_a_folder_that_w_and_b_cannot_write_is_named_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "file" / "below"))
    folder, state = keep(Run(name="no_folder", out=str(tmp_path / "out"), tracking=OFFLINE), logs(ROWS))
    assert record.read_result(folder)["status"] == "done"  # type: ignore[index]
    assert state.complete is False and state.missed == ["the whole run"] and str(tmp_path / "file") in state.why
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    assert synced(tmp_path / "out")["differences"] == 0
    now = read_state(folder)
    assert now is not None and Path(now.place).is_relative_to(tmp_path / "elsewhere")


@pytest.mark.slow
def test_online_a_run_that_goes_on_continues_its_w_and_b_run_and_what_is_missing_or_differs_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    out = tmp_path / "out"
    config = Run(name="online", out=str(out), tracking=TrackingConfig(mode=TrackingMode.auto, entity="me"))
    online = ["tracking.mode=online"]

    def interrupted(config: Any, kept: record.Record) -> dict[str, Any]:
        logs(ROWS[:2])(config, kept)
        raise KeyboardInterrupt

    with serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with pytest.raises(KeyboardInterrupt):
            keep(config, interrupted)
        first = told(record.folder_of(config))
        assert first.complete and list(server.runs[first.id].rows) == [0, 1]
        folder, state = keep(config, logs(ROWS))
        assert state.complete and state.id == first.id == folder.name, state
        kept = server.runs[state.id]
        assert list(kept.rows) == [0, 1, 2, 3] and kept.lines_sent == 4
        assert kept.said["groupName"] == "online"
        assert synced(out, *online, "verify=true")["table"][0]["so"] == "both sides agree"
        del kept.rows[3]
        kept.summary = "{}"
        (line,) = synced(out, *online, "verify=true")["table"]
        assert line["so"].startswith("rows that are missing: 4 of 4; the summary's status, val_loss")
        assert synced(out, *online)["differences"] == 0 and list(kept.rows) == [0, 1, 2, 3]
        kept.rows[1] = kept.rows[1].replace("2.25", "2.75")
        (line,) = synced(out, *online, "verify=true")["table"]
        assert line["so"] == "rows that differ: 2 of 4"
        said = synced(out, *online)
        assert said["differences"] == 0 and said["table"][0]["id"] == f"{folder.name}-2", said
    (line,) = synced(out, *online, "verify=true")["table"]
    assert "W&B could not be asked" in line["so"]


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """A file system of 48 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "none", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_under_w_and_b_loses_no_row_of_the_record(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tiny))
    rows = [{"step": step, "batch_loss": 1 / (step + 1), "filling": "x" * 100} for step in range(600)]
    folder, state = keep(Run(name="full", out=str(tmp_path / "out"), tracking=OFFLINE), logs(rows))
    assert record.read_result(folder)["status"] == "done"  # type: ignore[index]
    assert record.read_history(folder) == rows
    assert state.complete is False and any("rows that are missing" in part for part in state.missed), state
    monkeypatch.delenv("WANDB_DIR")
    assert synced(tmp_path / "out")["differences"] == 0


def test_a_run_that_goes_on_has_each_row_once(tmp_path: Path) -> None:
    config = Run(name="resumed", out=str(tmp_path / "out"), tracking=OFFLINE)

    def interrupted(config: Any, kept: record.Record) -> dict[str, Any]:
        logs(ROWS[:3])(config, kept)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(config, interrupted)
    first = told(record.folder_of(config))
    assert first.complete and first.status == "interrupted"
    folder, state = keep(config, logs(ROWS))  # which copies the history that it goes on from
    assert state.complete and state.id == first.id == folder.name
    assert [step for step, _ in file_of(folder, state).rows] == [0, 1, 2, 3]
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    config.force = True
    folder, state = keep(config, logs(ROWS[:2]))
    assert state.complete and state.id == f"{folder.name}-2", "W&B forgets no row, so a repetition is a run of its own"


def test_what_is_read_back_is_held_against_the_history_row_by_row() -> None:
    ours = [{"step": step, "loss": float(step)} for step in range(4)]
    theirs = list(enumerate(ours))
    assert replica.row_differences(ours, theirs) == []
    assert replica.row_differences(ours, theirs[:2]) == ["rows that are missing: 3 to 4 of 4"]
    assert replica.row_differences(ours, [*theirs, theirs[1]]) == ["rows that stand there twice: 2 of 4"]
    other = [(0, {"step": 0, "loss": 0.5}), *theirs[1:]]
    assert replica.contradicts(replica.row_differences(ours, other))
    assert not replica.contradicts(replica.row_differences(ours, theirs[:2]))
    assert (
        replica.row_differences(
            [{"loss": math.nan}, {"loss": -math.inf}], [(0, {"loss": "NaN"}), (1, {"loss": "-Infinity"})]
        )
        == []
    )


def test_only_runs_that_were_tracked_are_sent_unless_one_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    keep_quietly = Run(name="quiet", out=str(out))
    record.keep(keep_quietly, logs(ROWS), changes={}, tracker=Tracker(keep_quietly.tracking))
    with pytest.raises(ValueError, match="no finished run that was tracked"):
        synced(out)
    assert read_state(record.folder_of(keep_quietly)) is None
    assert synced(out, "select=quiet")["differences"] == 0
