"""What is kept of a training and found again, case by case, without training anything."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scratchlab import processes
from scratchlab.runs.aside import PREVIOUS
from scratchlab.runs.record import MODEL, RESULT, Record, read_history
from scratchlab.training import resume


@dataclass
class Notes:
    best: float = 1.5


class Steps:
    """Stands for the loop: how far it is, and what it was told to load."""

    def __init__(self, done: int = 5, complete: bool = True) -> None:
        self.done, self.complete, self.loaded = done, complete, {}  # type: ignore[var-annotated]

    def state(self) -> dict[str, Any]:
        return {"done": self.done}

    def load(self, state: dict[str, Any]) -> None:
        if state.get("done", 0) < 0:
            raise ValueError("no such batch")
        self.loaded = state
        self.done = state["done"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    return now


def record(out: Path, name: str = "mine", device: str = "cpu 1 threads") -> Record:
    (out / name / "0123").mkdir(parents=True, exist_ok=True)
    made = Record(out / name / "0123")
    made.device, made.hashes = device, {"data": "d"}
    return made


def put_aside(of: Record, stamp: str = "20260101T000000.000000") -> Path:
    """What the run has left so far becomes an earlier attempt."""
    before = of.folder / PREVIOUS / stamp
    before.mkdir(parents=True)
    for path in list(of.folder.iterdir()):
        if path.name != PREVIOUS:
            path.rename(before / path.name)
    return before


def kept(of: Record, done: int = 5) -> None:
    resume.Resume(of, minutes=1).keep(Steps(done), Notes(), now=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(("after", "due"), [(119.0, False), (120.0, True), (121.0, True)])
def test_a_state_is_kept_every_so_many_minutes(after: float, due: bool, tmp_path: Path, clock: list[float]) -> None:
    mine = record(tmp_path)
    keeper = resume.Resume(mine, minutes=2)
    clock[0] += after
    keeper.keep(Steps(), Notes())  # type: ignore[arg-type]
    state = mine.folder / resume.STATE
    assert state.exists() is due
    if due:  # and the next one again so many minutes later
        state.unlink()
        clock[0] += 119
        keeper.keep(Steps(), Notes())  # type: ignore[arg-type]
        assert not state.exists()


def test_no_state_is_kept_in_the_middle_of_an_update_or_where_none_is_wanted(tmp_path: Path) -> None:
    mine = record(tmp_path)
    resume.Resume(mine, minutes=1).keep(Steps(complete=False), Notes(), now=True)  # type: ignore[arg-type]
    resume.Resume(mine, minutes=0).keep(Steps(), Notes(), now=True)  # type: ignore[arg-type]
    resume.Resume(mine, minutes=0).hold(Steps(), Notes())  # type: ignore[arg-type]
    assert not (mine.folder / resume.STATE).exists()


def test_an_attempt_goes_on_from_the_last_state_before_it_and_brings_its_history(tmp_path: Path) -> None:
    mine = record(tmp_path)
    for number in range(3):
        mine.history(step=number)
    kept(mine, done=3)
    mine.history(step=3)  # written after the state: done again
    put_aside(mine)
    again = record(tmp_path)
    steps = Steps(0)
    assert resume.Resume(again, minutes=1).go_on(steps) == {"best": 1.5}  # type: ignore[arg-type]
    assert steps.loaded == {"done": 3}
    assert [line["step"] for line in read_history(again.folder)] == [0, 1, 2]
    assert (again.folder / resume.STATE).exists() and "began_with_threads" not in again.computed


def test_nothing_is_found_behind_a_run_that_came_to_its_end_or_if_all_is_to_be_done_anew(tmp_path: Path) -> None:
    mine = record(tmp_path)
    kept(mine)
    put_aside(mine, "20260101T000000.000000")
    starting = resume.Resume(record(tmp_path), minutes=1, start_over=True)
    assert starting.go_on(Steps()) is None and starting.trained(nn.Linear(2, 2)) is None  # type: ignore[arg-type]
    done = record(tmp_path)
    (done.folder / RESULT).write_text(json.dumps({"status": "done"}))
    put_aside(done, "20260102T000000.000000")
    assert resume.Resume(record(tmp_path), minutes=1).go_on(Steps()) is None  # type: ignore[arg-type]


def test_a_failed_attempt_without_a_state_is_passed_over(tmp_path: Path) -> None:
    mine = record(tmp_path)
    kept(mine, done=2)
    put_aside(mine, "20260101T000000.000000")
    failed = record(tmp_path)
    (failed.folder / RESULT).write_text(json.dumps({"status": "failed"}))
    put_aside(failed, "20260102T000000.000000")
    steps = Steps(0)
    assert resume.Resume(record(tmp_path), minutes=1).go_on(steps) is not None  # type: ignore[arg-type]
    assert steps.done == 2


def test_a_state_of_other_data_or_of_another_training_is_not_gone_on_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = record(tmp_path)
    kept(mine)
    put_aside(mine)
    other = record(tmp_path)
    other.hashes = {"data": "other"}
    assert resume.Resume(other, minutes=1).go_on(Steps()) is None  # type: ignore[arg-type]
    assert "was stopped in training, but with other data, weights or versions" in caplog.text
    strange = record(tmp_path / "b")
    kept(strange, done=-1)
    put_aside(strange)
    assert resume.Resume(record(tmp_path / "b"), minutes=1).go_on(Steps()) is None  # type: ignore[arg-type]
    assert "does not fit this training, which starts anew: no such batch" in caplog.text


def test_a_thread_count_is_no_other_device_and_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine = record(tmp_path, device="cpu 1 threads")
    kept(mine)
    put_aside(mine)
    torch.set_num_threads(2)
    again = record(tmp_path, device="cpu 2 threads")
    with caplog.at_level(logging.INFO):
        assert resume.Resume(again, minutes=1).go_on(Steps()) is not None  # type: ignore[arg-type]
    assert torch.get_num_threads() == 1 and again.device == "cpu 1 threads"
    assert "going on with 1 threads, as it began, not 2" in caplog.text


def test_where_the_thread_count_is_not_known_the_record_says_so(tmp_path: Path) -> None:
    mine = record(tmp_path)
    kept(mine)
    before = put_aside(mine)
    state = torch.load(before / resume.STATE, weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "threads"}, before / resume.STATE)
    again = record(tmp_path)
    assert resume.Resume(again, minutes=1).go_on(Steps()) is not None  # type: ignore[arg-type]
    assert again.computed["began_with_threads"] == "unknown" and torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("steps", 1, "its steps is a int"),
        ("notes", 1, "its notes is a int"),
        ("made_with", 1, "its made_with is a int"),
        ("lines", "x", "its lines is a str"),
        ("notes", "{", "JSONDecodeError"),
        ("lines", None, "KeyError"),
    ],
)
def test_a_damaged_state_is_named_and_lost(
    key: str, value: Any, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = record(tmp_path)
    kept(mine)
    before = put_aside(mine)
    state = torch.load(before / resume.STATE, weights_only=True)
    state = state | {key: value} if value is not None else {k: v for k, v in state.items() if k != key}
    torch.save(state, before / resume.STATE)
    assert resume.Resume(record(tmp_path), minutes=1).go_on(Steps()) is None  # type: ignore[arg-type]
    assert said in caplog.text and str(before / resume.STATE) in caplog.text


def test_a_full_disk_while_a_state_is_kept_costs_the_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume.torch, "save", full)
    mine = record(tmp_path)
    kept(mine)
    assert not (mine.folder / resume.STATE).exists() and "could not be kept" in caplog.text


def model(value: float) -> nn.Linear:
    made = nn.Linear(2, 2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(value)
    return made


def trained(out: Path, name: str, value: float = 3.0, **more: Any) -> Record:
    """A run that has trained, with what comes after: a judge's files of two kinds."""
    mine = record(out, name)
    given = {"training": "t", "files": ("samples.txt",), "later": {"answers.json": "a", "scores.json": "s"}} | more
    for file in ("samples.txt", "answers.json", "scores.json"):
        (mine.folder / file).write_text(f"{file} of {name}")
    mine.history(step=0)
    resume.Resume(mine, minutes=1, **given).save(model(value), {"loss": 0.5})
    return mine


def seeking(out: Path, name: str = "mine", **more: Any) -> resume.Resume:
    given = {"training": "t", "files": ("samples.txt",), "later": {"answers.json": "a", "scores.json": "other"}} | more
    return resume.Resume(record(out, name), minutes=1, **given)


def test_a_run_that_differs_in_what_comes_after_takes_the_trained_model_over(tmp_path: Path) -> None:
    trained(tmp_path, "theirs")
    found, mine = seeking(tmp_path), model(0.0)
    assert found.trained(mine) == {"loss": 0.5, "trained_in": "theirs/0123"}
    assert mine.weight.tolist() == [[3.0, 3.0], [3.0, 3.0]]
    there = {path.name: path for path in found.record.folder.iterdir()}
    assert there["samples.txt"].read_text() == "samples.txt of theirs" and "scores.json" not in there
    assert there["answers.json"].read_text() == "answers.json of theirs"
    assert read_history(found.record.folder) == [{"step": 0}]
    assert json.loads((found.record.folder / resume.TRAINED).read_text())["later"] == found.later
    # of its own earlier attempt it says nothing
    put_aside(found.record)
    assert seeking(tmp_path).trained(model(0.0)) == {"loss": 0.5}


@pytest.mark.parametrize("what", ["training", "hashes", "weights", "model", "words"])
def test_what_was_trained_otherwise_is_not_taken_over(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = trained(tmp_path, "theirs").folder
    found = seeking(tmp_path, **({"training": "other"} if what == "training" else {}))
    if what == "hashes":
        found.record.hashes = {"data": "other"}
    if what == "weights":
        (theirs / MODEL).write_bytes(b"damaged")
    if what == "model":
        (theirs / MODEL).unlink()
    if what == "words":
        (theirs / resume.TRAINED).write_text('{"metrics": [], "training": "t"}')
    assert found.trained(model(0.0)) is None
    said = {"weights": "the trained model there cannot be used, and is trained again", "words": "its metrics is a list"}
    assert said.get(what, "") in caplog.text


def test_the_first_by_name_that_can_be_used_is_taken_and_never_the_run_itself(tmp_path: Path) -> None:
    trained(tmp_path, "a", value=1.0, training="other")
    trained(tmp_path, "b", value=2.0)
    trained(tmp_path, "c", value=4.0)
    itself = trained(tmp_path, "aa", value=8.0)
    again, mine = resume.Resume(itself, minutes=1, training="t"), model(0.0)
    assert again.trained(mine) == {"loss": 0.5, "trained_in": "b/0123"} and mine.bias.tolist() == [2.0, 2.0]


def test_with_how_many_threads_another_run_was_trained_is_recorded(tmp_path: Path) -> None:
    trained(tmp_path, "theirs")
    same = seeking(tmp_path, "same")
    assert same.trained(model(0.0)) is not None and "training_threads" not in same.record.computed
    torch.set_num_threads(2)
    mine = seeking(tmp_path)
    assert mine.trained(model(0.0)) is not None and mine.record.computed == {"training_threads": 1}
    assert torch.get_num_threads() == 2  # only what comes after is computed here
    mine.save(model(0.0), {})
    assert json.loads((mine.record.folder / resume.TRAINED).read_text())["threads"] == 1


def test_other_processes_take_what_the_first_has_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes without a torchrun: what the first says is put into the other's ears."""
    theirs = trained(tmp_path, "theirs").folder
    first = seeking(tmp_path)
    notes = (first.trained(model(0.0)), str(first.record.folder))
    kept(first.record, done=7)
    monkeypatch.setattr(processes, "first", lambda: False)
    other = resume.Resume(record(tmp_path / "nowhere"), minutes=1)

    monkeypatch.setattr(processes, "agree", lambda _: notes)
    mine = model(0.0)
    assert other.trained(mine) == notes[0] and mine.bias.tolist() == [3.0, 3.0]
    monkeypatch.setattr(processes, "agree", lambda _: ({"best": 1.5}, str(first.record.folder), 2))
    steps = Steps(0)
    assert other.go_on(steps) == {"best": 1.5} and steps.done == 7  # type: ignore[arg-type]
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(processes, "agree", lambda _: (None, "nowhere", 1))
    steps = Steps(0)
    assert other.go_on(steps) is None and steps.loaded == {}  # type: ignore[arg-type]
    monkeypatch.setattr(processes, "agree", lambda _: (None, "nowhere"))
    assert other.trained(mine) is None
    # and write nothing
    other.keep(Steps(), Notes(), now=True)  # type: ignore[arg-type]
    assert not (other.record.folder / resume.STATE).exists() and theirs.exists()
