"""A run's folder and its fingerprint at their borders: what is written, what is found again, and what counts."""

import hashlib
import json
import signal
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import filelock
import pytest
import yaml

from scratchlab.runs import identity, record, signals
from scratchlab.runs.config import Run
from scratchlab.runs.identity import added, bookkeeping, fingerprint
from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Measure(Run):
    task: ClassVar[str] = "measure"
    value: float = 1.0

    def inputs(self) -> dict[str, str]:
        return {"data": "0123456789"}


class Told:
    """Stands for what tells W&B."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def start(self, config: Run, folder: Path) -> None:
        self.said.append(folder)

    def finish(self, status: str) -> None:
        self.said.append(status)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record.environment, "git", lambda: {"commit": None, "dirty": None})
    monkeypatch.setattr(record.environment, "versions", lambda: {"scratchlab": "1.2"})


def config(tmp_path: Path, **more: Any) -> Measure:
    return Measure(**({"name": "mine", "out": str(tmp_path / "deep" / "out")} | more))


def keep(of: Run, task: Any = lambda config, record: {"twice": 2.0}, **more: Any) -> tuple[dict[str, Any], bool]:
    given: dict[str, Any] = {"changes": {"value": 2.0}, "tracker": Told()}
    return record.keep(of, task, **given | more)


# a run's folder


def test_a_run_writes_its_settings_as_they_are_ordered_and_in_its_own_letters(tmp_path: Path) -> None:
    mine = config(tmp_path, name="né")
    result, reused = keep(mine, choices={"tune": "lora"})
    folder = tmp_path / "deep" / "out" / "né" / fingerprint(mine)
    assert not reused and record.folder_of(mine) == folder
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    assert text.startswith("name: né\n") and list(yaml.safe_load(text)) == list(identity.plain(mine))
    assert (folder / "result.json").read_text(encoding="utf-8").startswith('{\n "name": "né",\n "task": "measure",\n')
    assert (folder / "result.json").read_text(encoding="utf-8").endswith("}\n")
    assert (
        result["choices"] == {"tune": "lora"} and result["changes"] == {"value": 2.0} and (folder / "log.txt").is_file()
    )
    assert keep(config(tmp_path))[0]["choices"] == {}


def test_lines_of_the_history_and_files_lie_in_the_folder(tmp_path: Path) -> None:
    mine = Record(tmp_path)
    mine.history(step=0, loss=float("inf"))
    mine.history(step=1)
    assert (tmp_path / "history.jsonl").read_text() == '{"step": 0, "loss": "inf"}\n{"step": 1}\n'
    assert mine.write_text("a.txt", "b") == tmp_path / "a.txt" and (tmp_path / "a.txt").read_text() == "b"
    mine.close()


def test_what_took_part_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(config: Measure, run: Record) -> dict[str, Any]:
        run.computed["rows"] = 3
        return {}

    clock = iter((100.0, 101.23456))
    with monkeypatch.context() as patch:
        patch.setattr(record, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
        patch.setattr(record.environment, "threads", lambda: 2)
        result, _ = keep(config(tmp_path), task)
    assert result["seconds"] == 1.235 and result["computed"] == {"threads": 2, "rows": 3}
    assert result["metrics"]["peak_memory_bytes"] > 10**6 and result["error"] == ""
    monkeypatch.setattr(record.environment, "threads", lambda: None)
    assert keep(config(tmp_path, force=True), task)[0]["computed"] == {"rows": 3}


@pytest.mark.parametrize(("device", "said"), [("", "cpu"), ("cpu AVX2 1 threads", "cpu"), ("cuda NVIDIA H200", "cuda")])
def test_a_signature_says_which_run_a_number_is_of(device: str, said: str, tmp_path: Path) -> None:
    mine, run = config(tmp_path, seed=7), Record(tmp_path)
    run.device, run.hashes = device, {"weights": "w", "data": "0123456789"}
    expected = f"mine|seed=7|run={fingerprint(mine)}|data=01234567|weights=w|{said}|scratchlab=1.2"
    assert record.signature(mine, run) == expected


def test_a_finished_run_is_found_again_unless_it_is_forced_or_depends_on_more(tmp_path: Path) -> None:
    class Watched(Measure):
        reusable: ClassVar[bool] = False

    def again(config: Measure, run: Record) -> dict[str, Any]:
        return {"again": 1}

    assert keep(config(tmp_path))[1] is False
    state = record.folder_of(config(tmp_path)) / "checkpoint" / "training.pt"
    state.parent.mkdir()
    state.touch()
    found, reused = keep(config(tmp_path), again)
    assert reused is True and found["metrics"]["twice"] == 2.0 and not state.exists()
    for mine in (config(tmp_path, force=True), Watched(name="mine", out=str(tmp_path / "deep" / "out"))):
        assert fingerprint(mine) == fingerprint(config(tmp_path))
        found, reused = keep(mine, again)
        assert reused is False and found["metrics"]["again"] == 1
    assert len(list((record.folder_of(mine) / "previous").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "failed"}, ""),
        ({"status": None}, ""),
        ({"name": None, "started": 3}, "result.json lacks name, started: running it again"),
        ({"fingerprint": "ffff"}, "result.json is of another run (ffff): running this one"),
        ({"hashes": {"data": "other"}}, "is done, but its data have changed (other, now 0123456789): running it again"),
        ({"hashes": {}}, "is done, but its data have changed (None, now 0123456789): running it again"),
    ],
)
def test_a_run_is_done_again_where_its_result_is_of_something_else(
    change: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = config(tmp_path)
    folder, inputs = record.folder_of(mine), mine.inputs()
    assert record.finished_result(mine, folder, inputs) is None and caplog.text == ""  # nothing is there
    keep(mine)
    found = record.finished_result(mine, folder, inputs)
    assert found is not None and caplog.text == "" and found["metrics"]["twice"] == 2.0
    (folder / "result.json").write_text(json.dumps(found | change))
    assert record.finished_result(mine, folder, inputs) is None and said in caplog.text
    assert (caplog.text == "") is (said == "")


@pytest.mark.parametrize(
    ("stop", "status", "error"),
    [
        (ValueError("no such thing"), "failed", "ValueError: no such thing"),
        (KeyboardInterrupt(), "interrupted", "Ctrl-C"),
        (signals.Interrupted("SIGTERM"), "interrupted", "SIGTERM"),
    ],
)
def test_what_ended_a_run_is_said_and_goes_on(
    stop: BaseException, status: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def task(config: Measure, run: Record) -> dict[str, Any]:
        raise stop

    mine, tracker = config(tmp_path), Told()
    with pytest.raises(type(stop)):
        keep(mine, task, tracker=tracker)
    found = record.read_result(record.folder_of(mine))
    assert found is not None and (found["status"], found["error"], found["metrics"]) == (status, error, {})
    assert tracker.said == [record.folder_of(mine), status]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    write = record.write_atomically
    monkeypatch.setattr(
        record, "write_atomically", lambda path, text: (full if path.name == "result.json" else write)(path, text)
    )
    with pytest.raises(type(stop)):
        keep(mine, task)
    assert f"{record.folder_of(mine) / 'result.json'} could not be written ([Errno 28]" in caplog.text
    with pytest.raises(OSError, match="No space left"):
        keep(mine)


def test_a_signal_that_comes_while_the_result_is_written_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = record._write_result

    def asked(folder: Path, result: dict[str, Any]) -> None:
        signals._current[-1].handle(signal.SIGTERM, None)
        write(folder, result)

    monkeypatch.setattr(record, "_write_result", asked)
    mine, tracker = config(tmp_path), Told()
    with pytest.raises(signals.Interrupted, match="SIGTERM"):
        keep(mine, tracker=tracker)
    found = record.read_result(record.folder_of(mine))
    assert found is not None and found["status"] == "done" and tracker.said[-1] == "done"


def test_once_the_result_is_written_a_signal_waits_for_nobody(tmp_path: Path) -> None:
    class Slow(Told):
        def finish(self, status: str) -> None:
            signals._current[-1].handle(signal.SIGTERM, None)
            self.said.append("waited")

    mine, tracker = config(tmp_path), Slow()
    with pytest.raises(signals.Interrupted, match="SIGTERM"):
        keep(mine, tracker=tracker)
    assert tracker.said == [record.folder_of(mine)]


def test_a_folder_that_another_process_holds_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Taken:
        def __init__(self, path: Path) -> None:
            asked.append(Path(path).name)

        def acquire(self, timeout: float) -> None:
            asked.append(timeout)
            raise filelock.Timeout("x")

    monkeypatch.setattr(filelock, "FileLock", Taken)
    mine = config(tmp_path)
    with pytest.raises(RuntimeError, match=f"another process is writing {record.folder_of(mine)}; wait for it"):
        keep(mine)
    assert asked == [".lock", 0]


def test_a_result_is_read_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert record.read_result(tmp_path) is None
    path = tmp_path / "result.json"
    for text in ("{", "[1]", '{"metrics": [1]}', '{"metrics": "x"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=f"{path} is damaged"):
            record.read_result(str(tmp_path))
        assert record.result_or_warning(tmp_path) is None and f"{path} is damaged" in caplog.text
    for text, metrics in (("{}", {}), ('{"metrics": null}', {}), ('{"metrics": {"a": "inf"}}', {"a": float("inf")})):
        path.write_text(text)
        assert record.read_result(tmp_path) == {"metrics": metrics}


def test_the_lines_of_a_history_that_are_whole_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert record.read_history(tmp_path) == []
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"st')
    assert record.read_history(tmp_path) == [{"step": 0}, {"step": 1}] and caplog.text == ""
    path.write_text('{"step": 0}\nx\n[1]\n{"step": 3}\n')
    assert record.read_history(str(tmp_path)) == [{"step": 0}, {"step": 3}]
    assert f"{path}: 2 damaged lines are left out, the first is line 2" in caplog.text


# what counts


class Colour(Enum):
    red = 1
    blue = 2


@dataclass(kw_only=True)
class Inner:
    size: int = 3
    place: str = bookkeeping("here")
    later: int = added(0)
    places: list[str] = bookkeeping(default_factory=list)


@dataclass(kw_only=True)
class Outer:
    task: ClassVar[str] = "t"
    revision: ClassVar[int] = 3
    name: str = bookkeeping()
    seed: int = 123
    must: int
    inner: Inner = field(default_factory=Inner)
    about: Inner = bookkeeping(default_factory=Inner)
    new: Inner = added(default_factory=Inner)
    fast: bool = added(True, as_before=False)
    kinds: list[str] = added(default_factory=lambda: ["a"])
    colour: Colour = Colour.red
    aboutness: int = 1
    maybe: Inner | None = None
    idle_keys: ClassVar[tuple[str, ...]] = ()

    def idle(self) -> dict[str, str]:
        return dict.fromkeys(self.idle_keys, "no effect")


def outer(**more: Any) -> Outer:
    given: dict[str, Any] = {"name": "x", "must": 1}
    return Outer(**given | more)


def test_fields_say_themselves_whether_they_count() -> None:
    assert identity.marks(Outer) == identity.Marks(
        ("name", "inner.place", "inner.places", "about", "new.place", "new.places"),
        {
            "inner.later": 0, "new.size": 3, "new.place": "here", "new.later": 0, "new.places": [],
            "fast": False, "kinds": ["a"],
        },
    )  # fmt: skip
    assert identity.as_before(Outer)["kinds"] == ["a"] and outer().kinds == ["a"] and Inner().places == []
    assert outer().fast is True and Inner().place == "here" and outer().new == Inner()


def test_a_mark_at_a_field_leaves_its_default_as_it_is() -> None:
    @dataclass
    class Marked:
        must: int = bookkeeping()
        place: str = bookkeeping("here")
        places: list[str] = bookkeeping(default_factory=lambda: ["a"])
        fast: bool = added(True, as_before=False)
        size: int = added(3)
        kinds: list[str] = added(default_factory=lambda: ["b"])

    assert Marked(1) == Marked(1, "here", ["a"], True, 3, ["b"])
    with pytest.raises(TypeError):
        Marked()  # type: ignore[call-arg]
    assert identity.marks(Marked) == identity.Marks(
        ("must", "place", "places"), {"fast": False, "size": 3, "kinds": ["b"]}
    )


def test_which_training_a_folder_keeps_a_model_of(tmp_path: Path) -> None:
    assert record.trained_as(tmp_path) is None
    path = tmp_path / "checkpoint" / "trained.json"
    path.parent.mkdir()
    for text, expected in (('{"training": "abc"}', "abc"), ('{"training": 3}', None), ("[]", None), ('{"tr', None)):
        path.write_text(text)
        assert record.trained_as(tmp_path) == expected


def test_values_become_json_s_and_nothing_else_does() -> None:
    flat = identity.flatten(outer(colour=Colour.blue, maybe=Inner(size=4)), "a.")
    assert flat["a.colour"] == "blue" and flat["a.inner.size"] == 3 and flat["a.maybe.size"] == 4
    assert identity.flatten(outer())["maybe"] is None
    assert identity.plain({"a": (Colour.red, [Inner(later=1)])}) == {
        "a": ["red", [{"size": 3, "place": "here", "later": 1, "places": []}]]
    }
    assert identity.plain(Inner) is Inner and identity.plain("x") == "x"


def test_what_counts_is_what_can_change_a_number() -> None:
    basis = {"seed": 123, "must": 1, "inner.size": 3, "colour": "red", "aboutness": 1, "maybe": None}
    assert identity.matters(outer(fast=False)) == basis  # the rest is as before, or bookkeeping
    assert identity.matters(outer()) == basis | {"fast": True}  # which is not what runs did before
    changed = outer(fast=False, kinds=["b"], new=Inner(size=4), about=Inner(size=5), inner=Inner(later=2, place="y"))
    assert identity.matters(changed) == basis | {"kinds": ["b"], "new.size": 4, "inner.later": 2}


def test_what_has_no_effect_counts_as_if_it_were_not_set() -> None:
    class Idle(Outer):
        idle_keys: ClassVar[tuple[str, ...]] = ("inner.size", "kinds", "must", "colour")

    given = Idle(name="x", must=5, inner=Inner(size=9), kinds=["z"], colour=Colour.blue, fast=False)
    assert identity.matters(given) == identity.matters(outer(fast=False)) | {"must": None}
    assert identity.matters(outer(fast=False, seed=9), idle=["seed"]) == identity.matters(outer(fast=False))


def test_a_fingerprint_is_twelve_digits_of_a_hash_over_what_counts() -> None:
    def of(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    expected = of('{"config": {"a": 1, "b": [2, {"c": 0.5}], "d": "1.0", "e": true}, "revision": 3, "task": "t"}')
    assert identity.digest("t", 3, {"e": True, "a": 1.0, "b": [2.0, {"c": 0.5}], "d": "1.0"}) == expected
    assert fingerprint(outer(fast=False), without=("seed", "inner", "colour", "aboutness", "maybe")) == of(
        '{"config": {"must": 1}, "revision": 3, "task": "t"}'
    )
    assert fingerprint(outer(seed=5), idle=["seed"]) == fingerprint(outer()) != fingerprint(outer(seed=5))


def test_changes_are_what_is_set_otherwise_but_for_the_seed_and_bookkeeping() -> None:
    ours = outer(seed=7, name="other", about=Inner(size=9), inner=Inner(size=4, place="y"), kinds=["b"], aboutness=2)
    assert identity.changes(ours, outer()) == {"inner.size": 4, "kinds": ["b"], "aboutness": 2}
    assert identity.changes(outer(), outer()) == {}
