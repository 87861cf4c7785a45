"""Faults that a run must survive or end with in one line: damaged files, full disks, signals, other weights."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file
from test_resume import LINES, TINY, Killed, run
from test_resume import surroundings as surroundings  # the data that the lines name
from torch import nn

from scratchlab.cli import mistakes
from scratchlab.model.state_files import load_checkpoint
from scratchlab.runs import aside, record
from scratchlab.runs.config import Run, TrackingConfig
from scratchlab.runs.identity import fingerprint
from scratchlab.runs.tracking import Tracker
from scratchlab.training import resume


@dataclass(kw_only=True)
class Measure(Run):
    task: ClassVar[str] = "measure"


def keep(config: Run, task: record.Task | None = None) -> tuple[dict[str, Any], bool]:
    return record.keep(config, task or (lambda *_: {"one": 1}), changes={}, tracker=Tracker(TrackingConfig()))


@pytest.fixture
def config(tmp_path: Path) -> Measure:
    return Measure(name="mine", out=str(tmp_path / "outputs"))


@pytest.mark.parametrize("kill_at", range(6))
def test_putting_aside_goes_on_after_a_kill_half_way(
    kill_at: int, config: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(config)
    folder = record.folder_of(config)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint/model").write_text("weights")
    before = {path.name for path in folder.iterdir()} - {".lock"}
    real, done = Path.rename, []

    def dies(self: Path, target: Path) -> Path:
        if len(done) == kill_at:
            raise Killed
        done.append(self.name)
        return real(self, target)

    config.force = True
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dies)
        with pytest.raises(Killed):
            keep(config)
    if done:
        assert not (folder / "result.json").exists(), "half of a run must not count as done"
    keep(config)
    [attempt] = aside.earlier(folder)
    assert {path.name for path in attempt.iterdir()} == before
    assert (attempt / "checkpoint/model").read_text() == "weights"


def test_attempts_stand_in_order_of_time_whatever_the_clock_says(config: Measure) -> None:
    config.force = True
    for number in range(4):
        keep(config, lambda *_, number=number: {"number": number})
        for path in record.folder_of(config).iterdir():
            os.utime(path, (1e9, 1e9))
    numbers = [record.read_result(path) for path in aside.earlier(record.folder_of(config))]
    assert [result["metrics"]["number"] for result in numbers if result] == [2, 1, 0]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "5", '{"status": "done"}', '{"status": "done", "metrics": []}', "\x00"]
)
def test_a_damaged_result_does_not_count_as_done_and_is_named(
    content: str, config: Measure, caplog: pytest.LogCaptureFixture
) -> None:
    keep(config)
    folder = record.folder_of(config)
    (folder / "result.json").write_text(content)
    _, reused = keep(config)
    assert not reused and str(folder / "result.json") in caplog.text
    assert keep(config)[1]


def test_a_result_of_another_run_does_not_count(config: Measure, caplog: pytest.LogCaptureFixture) -> None:
    keep(config)
    path = record.folder_of(config) / "result.json"
    path.write_text(path.read_text().replace(fingerprint(config), "0" * 12))
    assert not keep(config)[1] and "of another run" in caplog.text


def test_a_damaged_line_of_the_history_costs_that_line_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history.jsonl").write_bytes(b'{"step": 0}\n{"st\xff\n5\n{"step": 3}\n')
    assert record.read_history(tmp_path) == [{"step": 0}, {"step": 3}]
    assert f"{tmp_path / 'history.jsonl'}: 2 damaged lines" in caplog.text


def stopped_line(monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[list[str], Path]:
    """A pretraining that was killed right after its third state was kept."""
    kept, times = resume.Resume.keep, []

    def dies(self: resume.Resume, *rest: Any) -> None:
        kept(self, *rest)
        times.append(1)
        if len(times) == 3:
            raise Killed

    line = [*LINES["pretrain"], *TINY, "checkpoint_minutes=1e-9", *more]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(resume.Resume, "keep", dies)
        run(*line)
    [folder] = record.folders("outputs")
    return line, folder


@pytest.mark.vocabulary
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("empty", marks=pytest.mark.slow),
        "half",
        pytest.param("other", marks=pytest.mark.slow),
        "shapes",
        "result",
    ],
)
def test_a_damaged_state_costs_what_it_held_and_is_named(
    damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    line, folder = stopped_line(monkeypatch)
    path = folder / resume.STATE
    if damage == "result":
        path = folder / "result.json"
        path.write_text("{")
    elif damage == "other":
        torch.save({"steps": 1}, path)
    elif damage == "shapes":
        state = torch.load(path, weights_only=True)
        state["steps"]["trainable"].popitem()
        torch.save(state, path)
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if damage == "half" else b"")
    with caplog.at_level("INFO"):
        result, _ = run(*line, "checkpoint_minutes=0")
    assert path.name in caplog.text and ("damaged" in caplog.text or "does not fit" in caplog.text)
    assert ("going on after batch 2" in caplog.text) == (damage == "result")
    if damage == "shapes":  # the one that is found out last
        whole, _ = run(*LINES["pretrain"], *TINY, "out=elsewhere")
        assert result["metrics"]["val_loss"] == whole["metrics"]["val_loss"]


@pytest.mark.vocabulary
@pytest.mark.parametrize("damage", ["trained.json", pytest.param("model.safetensors", marks=pytest.mark.slow)])
def test_a_damaged_trained_model_is_trained_again_and_named(
    damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scratchlab.generation import responses

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    line = [*LINES["instruct"], *TINY]
    whole, _ = run(*line, "out=elsewhere/outputs")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(responses, "respond", dies)
        run(*line)
    [folder] = record.folders("outputs")
    (folder / "checkpoint" / damage).write_text('{"metrics": ')
    result, _ = run(*line)
    assert damage in caplog.text and "damaged" in caplog.text
    assert result["metrics"]["val_loss"] == whole["metrics"]["val_loss"]


@pytest.mark.vocabulary
def test_a_run_goes_on_with_the_threads_it_began_with_and_its_record_says_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, _ = stopped_line(monkeypatch, "compute.threads=1")
    try:
        torch.set_num_threads(2)
        result, folder = run(*line[:-1], "compute.threads=2")
        assert result["computed"] == {"threads": 1}
        assert "1 threads" in result["device"] or "cpu" not in result["device"]
        assert folder.name == result["fingerprint"], "the number of threads is no part of what was computed"
    finally:
        torch.set_num_threads(1)


def full_disk(*words: str, limit: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, where no file can grow beyond `limit` bytes: writes fail in the middle, as on a full disk."""
    code = f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        sys.argv = ["scratchlab", *{list(words)!r}]
        from scratchlab.__main__ import main
        main()
    """
    return subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code)], cwd=cwd, capture_output=True, text=True, timeout=200
    )


@pytest.mark.vocabulary
@pytest.mark.parametrize(
    ("limit", "recorded"),
    [*(pytest.param(some, True, marks=pytest.mark.slow) for some in (200_000, 5_000)), (100, False)],
)
def test_a_full_disk_is_one_line_and_a_failed_record_where_one_can_be_written(
    limit: int, recorded: bool, tmp_path: Path
) -> None:
    words = [*("task=classify", "data=messages", "data.size=300", "train.batch_size=2", "train.epochs=1", "tune=all")]
    words += [*TINY, "model.context_length=64", "save=true", "checkpoint_minutes=1e-9"]
    done = full_disk(*words, limit=limit, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "Logging error" not in done.stderr
    assert "error: " in done.stderr.splitlines()[-1]
    results = [record.read_result(folder) for folder in record.folders(tmp_path / "outputs")]
    found = [result["status"] for result in results if result is not None]
    assert found == (["failed"] if recorded else []), done.stderr


def test_signals_that_follow_the_first_do_not_disturb_the_record(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from scratchlab.runs import record
        from scratchlab.runs.config import Run, TrackingConfig
        from scratchlab.runs.tracking import Tracker

        def twice():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

        real = record.write_atomically
        def writes(path, text):
            if path.name == "result.json":
                twice()
            return real(path, text)
        record.write_atomically = writes
        def task(config, run):
            if sys.argv[1] == "early":
                os.kill(os.getpid(), signal.SIGTERM)
            return {}
        signal.signal(signal.SIGINT, signal.default_int_handler)
        record.keep(Run(name=sys.argv[1]), task, changes={}, tracker=Tracker(TrackingConfig()))
        print("went on")
    """
    for name, status in (("early", "interrupted"), ("late", "done")):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), name], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode != 0 and "went on" not in done.stdout
        [folder] = record.folders(tmp_path / "outputs", name)
        result = record.read_result(folder)
        assert result is not None and result["status"] == status, done.stderr


def weights_files(folder: Path) -> dict[str, Path]:
    """Files that hold no weights for a layer of two numbers."""
    good = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    contents: dict[str, Any] = {
        "nan.pth": good | {"weight": torch.tensor([[1.0, float("nan")]])},
        "inf.pth": good | {"weight": torch.tensor([[1.0, float("inf")]])},
        "integers.pth": good | {"weight": torch.ones(1, 2, dtype=torch.int64)},
        "numbered.pth": {1: torch.ones(1)},
        "list.pth": {"model_state_dict": [torch.ones(1)]},
        "nested.pth": {"model": good},
        "tensor.pth": torch.ones(2),
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    for name in ("nan", "integers"):
        save_file(contents[f"{name}.pth"], folder / f"{name}.safetensors")
    whole = (folder / "nan.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[:-5])
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.safetensors").write_text("no weights at all")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "text.pth").write_text("no weights at all")
    (folder / "cut.pth").write_bytes((folder / "nan.pth").read_bytes()[:-300])
    return {path.name: path for path in folder.iterdir()}


def test_weights_that_are_none_are_refused_and_the_file_is_named(tmp_path: Path) -> None:
    for name, path in weights_files(tmp_path).items():
        with pytest.raises(ValueError, match=name) as caught:
            load_checkpoint(nn.Linear(2, 1), path)
        assert mistakes.explain(caught.value, []), name


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_handlers_are_put_back(number: int, config: Measure) -> None:
    before = signal.getsignal(number), signal.getsignal(signal.SIGINT)
    keep(config)
    assert (signal.getsignal(number), signal.getsignal(signal.SIGINT)) == before
    assert json.loads((record.folder_of(config) / "result.json").read_text())["status"] == "done"
