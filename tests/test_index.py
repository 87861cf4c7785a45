"""The index of many records: believed only where it fits, and made anew otherwise."""

import io
import logging
import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from synthetic import write_run

from scratchlab.book import experiments
from scratchlab.evidence import index, index_file, records
from scratchlab.evidence.gather import gather
from scratchlab.evidence.records import Records
from scratchlab.evidence.runs import read_run, read_runs
from scratchlab.launch import jobs
from scratchlab.runs import record

NAMES, SEEDS = ("ch06_row01_baseline", "ch06_row02", "mine"), range(40)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 records of three names, old enough to be known by their times."""
    out: Path = tmp_path_factory.mktemp("written") / "out"
    claim = {"metric": "test_accuracy", "kind": "exact", "value": 0.9, "source": "made up"}
    for name in NAMES:
        for seed in SEEDS:
            claims = [claim] if name == "mine" and seed == 7 else []
            config = {"train": {"batch_size": 4}} if name == "mine" else {}
            more = {"claims": claims, "started": f"2026-01-01T00:00:{seed:02d}+00:00"}
            write_run(out, name, seed, 0.9 + 0.001 * seed, metrics={"train_seconds": 1.0}, config=config, **more)
    (spoilt,) = [run for run in read_runs(out, "ch06_row02") if run.seed == 3]
    (spoilt.folder / record.RESULT).write_text("{")
    time.sleep(0.3)
    return out


@pytest.fixture
def out(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "out")
    time.sleep(0.25)
    return tmp_path / "out"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The folders of records that are read."""
    found: list[Path] = []

    def read(folder: Path) -> Any:
        found.append(Path(folder))
        return read_run(folder)

    monkeypatch.setattr(index, "read_run", read)
    yield found


def changed(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(statement, values).rowcount != 0
        database.commit()


def flip(path: Path, count: int) -> None:
    content = bytearray(path.read_bytes())
    draw = random.Random(0)
    for _ in range(count):
        content[draw.randrange(len(content))] ^= 0xFF
    path.write_bytes(content)


SPOILT: dict[str, Callable[[Path], Any]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_text("no database" * 1000),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "overwritten in the middle": lambda path: path.write_bytes(
        path.read_bytes()[:9000] + b"\xff" * 4096 + path.read_bytes()[9000 + 4096 :]
    ),
    "a few bytes are others": lambda path: flip(path, 20),
    "many bytes are others": lambda path: flip(path, 2000),
    "another version": lambda path: changed(path, "UPDATE about SET version = 'another'"),
    "a table is missing": lambda path: changed(path, "DROP TABLE records"),
    "another table": lambda path: changed(path, "ALTER TABLE records RENAME COLUMN seal TO other"),
    "no rows": lambda path: changed(path, "DELETE FROM records"),
    "other rows": lambda path: changed(path, "UPDATE records SET facts = replace(facts, 'ch06', 'ch07')"),
    "no texts": lambda path: changed(path, "UPDATE records SET facts = 1, seal = NULL"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_index_says_nothing_wrong_and_is_made_anew(
    how: str, out: Path, opened: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "WORTH_WRITING", 1)
    before = [one.entry for one in index.below(out)]
    rows = index.rows(out)
    assert len(opened) == len(rows) == 120
    SPOILT[how](out / index_file.FILE)
    with caplog.at_level(logging.WARNING):
        assert [one.entry for one in index.below(out)] == before
    assert index.rows(out) == rows
    assert len(caplog.messages) <= 1 and all("cannot be used" in line for line in caplog.messages)
    opened.clear()
    index.below(out)
    assert not opened


def test_a_warm_index_opens_only_the_records_that_are_spoken_of(out: Path, opened: list[Path]) -> None:
    index.below(out)
    opened.clear()
    found = Records(out)
    assert not opened and set(found) == set(NAMES)
    assert len(found["mine"]) == 40 and {folder.parent.name for folder in opened} == {"mine"}
    opened.clear()
    assert sorted(run.seed for run in records.read(out, "ch06*", [5])) == [3, 5, 5], "what is spoilt is told, always"
    assert len(opened) == 3


def test_verdicts_and_tables_are_the_same_with_and_without_an_index(out: Path) -> None:
    files = experiments.read_all()
    cold = gather(out, files, select="ch06*,mine", seeds=[*range(8)], keep_index=False)
    assert not (out / index_file.FILE).exists()
    index.below(out)
    warm = gather(out, files, select="ch06*,mine", seeds=[*range(8)])
    assert [run.folder for run in warm.runs] == [run.folder for run in cold.runs]
    assert (warm.verdicts, warm.problems, warm.chance) == (cold.verdicts, cold.problems, cold.chance)
    assert [one.rows for one in warm.comparisons] == [one.rows for one in cold.comparisons]
    assert any(row["experiment"] == "mine" for row in warm.verdicts), "the claim of a record without a file"
    assert records.read(out, "*", [2, 3]) == read_runs(out, "*", [2, 3])


def by_hand(folder: Path, name: str, old: str, new: str) -> None:
    """Change a file in place, to one of the same length, and give it back its time."""
    path = folder / name
    then, text = path.stat(), path.read_text()
    assert len(old) == len(new) and old in text
    with path.open("r+") as file:
        file.write(text.replace(old, new))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (record.RESULT, '"status": "done"', '"status": "gone"'),
        (record.CONFIG, "seed: 9", "seed: 8"),
        ("predictions.csv", "split,index", "split,indix"),
    ],
)
def test_a_record_that_is_changed_by_hand_is_read_again(
    name: str, old: str, new: str, out: Path, opened: list[Path]
) -> None:
    folder = next(one.folder for one in index.below(out, "mine") if one.entry.seed == 9)
    index.below(out)
    opened.clear()
    by_hand(folder, name, old, new)
    found = {one.folder: one for one in index.below(out)}
    assert opened == [folder]
    assert found[folder].problems == list(read_run(folder).problems) != []


def test_records_that_come_and_go_are_seen_at_once(out: Path) -> None:
    index.below(out)
    shutil.rmtree(out / "ch06_row02")
    new = write_run(out, "other", 1, 0.5)
    assert set(Records(out)) == {NAMES[0], "mine", "other"}
    assert index.of([new, out / "ch06_row02" / "none"])[new].status == "done"
    for seed in range(index.WORTH_WRITING):
        write_run(out, "more", seed, 0.5)
    time.sleep(0.25)
    index.below(out)
    assert {name for name, _ in index.rows(out)} == {NAMES[0], "mine", "other", "more"}, "rows of what is gone go too"


def test_a_record_so_new_that_its_next_change_might_go_unseen_is_not_kept(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED", 3600)
    assert len(index.below(out)) == 120 and index.rows(out) == {}


def test_few_records_leave_no_index(tmp_path: Path) -> None:
    write_run(tmp_path, "one", 1, 0.5)
    time.sleep(0.25)
    assert len(index.below(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_the_index_watches_every_file_that_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path, "judged", 1, 0.5, metrics={"judge_score": 50.0})
    (folder / "scores.json").write_text('{"items": []}')
    found, original = set(), io.open

    def opening(file: Any, *arguments: Any, **more: Any) -> Any:
        found.add(Path(file).name)
        return original(file, *arguments, **more)

    monkeypatch.setattr(io, "open", opening)
    read_run(folder)
    assert found == set(index.FILES)


@pytest.mark.parametrize("both", [False, True])
def test_where_the_folder_cannot_be_written_the_cache_holds_the_index(
    both: bool, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))
    (out / index_file.FILE).mkdir()
    if both:
        (tmp_path / "cache").write_text("a file")
    assert len(index.below(out)) == 120
    if both:
        assert len(caplog.messages) == 1 and "cannot be kept" in caplog.text
    else:
        assert len(list((tmp_path / "cache" / "indexes").iterdir())) == 1 and not caplog.messages
    assert len(index.rows(out)) == (0 if both else 120)


def test_many_processes_may_write_the_index_at_once(out: Path) -> None:
    whole = [one.entry for one in index.below(out, keep=False)]

    def same() -> bool:
        (out / index_file.FILE).unlink(missing_ok=True)
        return [one.entry for one in index.below(out)] == whole == [one.entry for one in index.below(out)]

    children = []
    for _ in range(4):
        if not (child := os.fork()):
            code = 1
            try:
                code = 0 if same() and same() else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    index.below(out)
    assert len(index.rows(out)) == 120


def test_the_state_of_many_jobs_is_read_from_the_index(tmp_path: Path, opened: list[Path]) -> None:
    words = ["task=tokenize", "name=many", f"out={tmp_path}"]
    (one,) = [jobs.job([*words, "seed=1"])]
    assert one.state == "new" and not opened
    folder = write_run(tmp_path, "many", 1, status="failed")
    assert index.of([folder])[folder].status == "failed" and opened == [folder]


@pytest.mark.skipif(sys.platform == "win32", reason="names of any bytes")
def test_a_folder_whose_name_is_no_text_is_read_without_an_index(out: Path) -> None:
    odd = out / os.fsdecode(b"odd\xff")
    shutil.copytree(out / "mine", odd)
    time.sleep(0.25)
    assert len(index.below(out)) == 160
    assert len(index.rows(out)) == 120


def of_kind(out: Path, name: str) -> str:
    (first, *_) = index.below(out, name)
    assert first.entry.cost is not None
    return first.entry.cost.kind


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of records whose files are looked at."""
    found: list[str] = []
    original = index._stamp

    def stamp(folder: str) -> Any:
        found.append(Path(folder).name)
        return original(folder)

    monkeypatch.setattr(index, "_stamp", stamp)
    return found


def test_what_tells_of_a_kind_is_found_without_a_look_at_the_rest(
    out: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = of_kind(out, "mine")
    of_it = {one.folder for one in index.below(out) if one.entry.cost and one.entry.cost.kind == kind}
    spoilt = {one.folder for one in index.below(out) if one.status != "done"}
    opened.clear()
    looked = looked_at(monkeypatch)
    assert len(of_it) == 40
    assert {one.folder for one in index.of_kinds(out, [kind], most=1000)} == of_it | spoilt
    assert not opened and len(looked) == len(of_it | spoilt)
    looked.clear()
    assert {one.folder for one in index.of_kinds(out, ["none"], most=3)} == spoilt and len(looked) == len(spoilt)
    newest = [one.entry.cost.started[17:19] for one in index.of_kinds(out, [kind], most=3) if one.entry.cost]
    assert newest == ["39", "38", "37"]
    new = write_run(out, "other", 1, 0.5)
    again = sorted(of_it)[0]
    by_hand(again, record.RESULT, '"seconds": 1.0', '"seconds": 7.0')
    seconds = {one.folder: one.entry.cost and one.entry.cost.seconds for one in index.of_kinds(out, [kind], most=1000)}
    assert new in seconds, "what has come since is read"
    assert seconds[again] == 7.0, "what is otherwise since is read again"


def test_a_model_that_others_trained_is_found_without_a_look_at_the_rest(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps(folder: Path, training: str) -> Path:
        path = folder / record.TRAINED
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'{{"training": "{training}"}}')
        return folder

    mine = sorted(path for path in (out / "mine").iterdir())
    keeps(mine[0], "a"), keeps(mine[1], "b"), keeps(mine[2], "a")
    assert {mine[0], mine[2]} <= set(index.of_training(out, "a")), "without an index: any folder"
    (spoilt,) = [one.folder for one in index.below(out) if one.status != "done"]
    assert set(index.of_training(out, "a")) == {mine[0], mine[2], spoilt}
    new = keeps(write_run(out, "mine", 1000, 0.5), "a")
    assert set(index.of_training(out, "a")) == {mine[0], mine[2], spoilt, new}
    assert set(index.of_training(out, "none")) == {spoilt, new}
    SPOILT["many bytes are others"](out / index_file.FILE)
    assert {mine[0], mine[2], new} <= set(index.of_training(out, "a"))
