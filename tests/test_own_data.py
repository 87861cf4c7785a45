"""`data=csv`: texts of one's own with any number of classes, from the file to a comparison."""

import csv
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from conftest import TINY

import scratchlab
from scratchlab.data import collection
from scratchlab.data.config import MessagesConfig
from scratchlab.launch import compose
from scratchlab.training import trained

CLASSES = ("billing", "delivery", "praise")
WORDS = {
    "billing": ("invoice", "refund", "charge", "paid twice"),
    "delivery": ("parcel", "late", "courier", "not arrived"),
    "praise": ("great", "thank you", "love it", "perfect"),
}
SMALL = [*TINY, "task=classify", "data=csv", "data.text=body", "data.label=topic", "tune=all", "train.lr=2e-3"]


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)
    return path


def tickets(count: int = 90) -> list[dict[str, str]]:
    draw = random.Random(0)
    topics = [CLASSES[i % 3] for i in range(count)]
    return [{"topic": t, "body": f"{draw.choice(WORDS[t])}, number {i}", "n": str(i)} for i, t in enumerate(topics)]


def of(path: Path, **more: str) -> MessagesConfig:
    return MessagesConfig(source="file", path=str(path), text="body", label="topic", **more)


def test_every_row_is_in_one_split_and_labels_are_places_of_classes(tmp_path: Path) -> None:
    config = of(write(tmp_path / "mine.csv", tickets()))
    frames = collection.load(config)
    assert config.classes == CLASSES
    assert {name: len(frame) for name, frame in frames.items()} == {"train": 62, "val": 9, "test": 19}
    assert sorted(row for frame in frames.values() for row in frame.index) == list(range(90))
    for frame in frames.values():
        for label, text in zip(frame["Label"], frame["Text"], strict=True):
            assert any(word in text for word in WORDS[CLASSES[label]])


@pytest.mark.parametrize(("labels", "order"), [("0 1 10 2", "0 1 2 10"), ("b a", "a b"), ("-1 0.5 1", "-1 0.5 1")])
def test_classes_that_are_numbers_stand_by_size(labels: str, order: str, tmp_path: Path) -> None:
    rows = [{"topic": label, "body": "x"} for label in labels.split() * 10]
    assert of(write(tmp_path / "mine.csv", rows)).classes == tuple(order.split())


def test_a_column_may_say_which_split_a_row_is_in(tmp_path: Path) -> None:
    rows = [row | {"part": ("train", "test", "val")[i // 3 % 3]} for i, row in enumerate(tickets())]
    frames = collection.load(of(write(tmp_path / "mine.csv", rows), split_column="part"))
    assert {name: sorted(Counter(frame["Label"]).values()) for name, frame in frames.items()} == {
        "train": [10, 10, 10], "val": [10, 10, 10], "test": [10, 10, 10],
    }  # fmt: skip
    assert frames["test"].index.tolist()[:4] == [3, 4, 5, 12]


def test_quotes_line_breaks_tabs_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    rows = tickets()
    rows[0]["body"] = 'one, "two"\nthree'
    assert collection.load(of(write(tmp_path / "mine.csv", rows)))["train"]["Text"].isin([rows[0]["body"]]).any()
    tabs = write(tmp_path / "mine.tsv", rows, delimiter="\t")
    tabs.write_bytes(b"\xef\xbb\xbf" + tabs.read_bytes())
    assert sum(map(len, collection.load(of(tabs)).values())) == 90


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("billing", r"row 31 \(line 32, the header is line 1\): it has no 'body'"),
        ("billing,a,b,c", "row 31.*more values than the header"),
        (",text,9", "row 31.*its 'topic' is empty"),
        ("billing, ,9", "row 31.*its 'body' is empty"),
        ('billing,"text,9', "row 31.*no CSV"),
    ],
)
def test_a_malformed_row_is_told_by_its_number_and_line(line: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", tickets())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:31], line, *lines[31:]]) + "\n")
    with pytest.raises(ValueError, match=said):
        collection.load(of(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": "text"}, "data.text=text: no such column; possible: topic, body, n"),
        ({"label": "n"}, "data.label=n has 90 different values in 90 rows .*is it the column of the classes"),
        ({"split_column": "n"}, "row 1 .*its 'n' is '0'; possible: train, val, test"),
    ],
)
def test_a_wrong_column_is_told_with_those_that_are_there(change: dict[str, str], said: str, tmp_path: Path) -> None:
    keys = {"source": "file", "path": str(write(tmp_path / "mine.csv", tickets())), "text": "body", "label": "topic"}
    with pytest.raises(ValueError, match=said):
        collection.load(MessagesConfig(**keys | change))


def test_too_few_rows_an_empty_split_and_a_class_that_training_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="9 rows of 3 classes.*needed: 20"):
        collection.load(of(write(tmp_path / "few.csv", tickets(9))))
    rows = [row | {"part": "train" if row["topic"] != "praise" else "test"} for row in tickets()]
    with pytest.raises(ValueError, match="puts no row into val"):
        collection.load(of(write(tmp_path / "empty.csv", rows), split_column="part"))
    rows[2]["part"] = "val"
    with pytest.raises(ValueError, match="training rows have none of the class praise"):
        collection.load(of(write(tmp_path / "lacking.csv", rows), split_column="part"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=csv"], "or data=csv data.path=FILE"),
        (["data=spam", "data.text=body"], "data.text=body: names a column.*possible: data=csv"),
        (["data=spam", "data.path=x.csv"], "data.path=x.csv with data.source=spam"),
        (["data=csv", "data.path=x.csv", "train.ignore_index=3"], "possible: a number below 0"),
        (["data=csv", "data.path=x.csv", "data.size=200"], "only generated messages"),
    ],
)
def test_keys_that_do_not_go_together_are_refused_before_the_file_is_read(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compose.compose(["task=classify", "weights=random", "model=gpt2_tiny", *words])


@pytest.mark.vocabulary
def test_three_classes_are_learned_compared_reported_and_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.csv", tickets())
    for position in ("first", "mean"):
        words = [*SMALL, "data.path=mine.csv", "model.context_length=32", "save=true", "train.epochs=3"]
        found = scratchlab.run(*words, f"position={position}", out="runs")
        assert found.metrics["classes"] == list(CLASSES) and found.hashes["data"]
    assert found.metrics["train_accuracy"] > 0.8
    rows = list(csv.DictReader((found.folder / "predictions.csv").open()))
    assert {row["label"] for row in rows} == {"0", "1", "2"} and len(rows) == 56 + 9 + 19
    right = [row for row in rows if row["label"] == row["prediction"]]
    assert all(float(row["probability"]) > 1 / 3 for row in right)
    (tmp_path / "mine.csv").rename(tmp_path / "gone.csv")
    loaded = trained.load(found.folder)  # the record knows the classes
    assert loaded.classes == CLASSES and loaded.model.out_head.out_features == 3  # type: ignore[union-attr]
    scratchlab.run("task=export", f"run={found.folder}", out="runs")
    from scratchlab.launch.execute import run

    run(compose.compose(["task=chat", f"run='{found.folder}'", "text=parcel"]))
    assert capsys.readouterr().out.split()[0] in CLASSES
    run(compose.compose(["task=compare", "out=runs", "select=classify"]))
    table = json.loads(next(tmp_path.glob("runs/compare/*/table.json")).read_text())
    assert len(table) == 2 and table[1]["mcnemar"][0]["items"] == 19
    run(compose.compose(["task=report", "out=runs", "select=classify"]))
    assert next(tmp_path.glob("runs/report/*/report.html")).stat().st_size > 10_000
