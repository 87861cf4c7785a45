"""The table of data sets: complete, in step with conf/data, and the one place where a new data set is added."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, real
from synthetic import write_run
from test_verdicts import verdict

from scratchlab.__main__ import run
from scratchlab.assets.fetch import Asset, sha256
from scratchlab.book import experiments
from scratchlab.data import collection, readers, sources
from scratchlab.data.config import CorpusConfig, InstructionsConfig, MessagesConfig
from scratchlab.data.sources import CORPUS, ENTRIES, FILE, KINDS, MESSAGES, ROWS, SOURCES, Kind, Source
from scratchlab.evidence.verdicts import Verdict
from scratchlab.files import resource
from scratchlab.launch import compose
from scratchlab.text.tokenizer import gpt2

CONF = resource("conf") / "data"
OPTIONS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in CONF.glob("*.yaml")}
OWN = {kind.own for kind in KINDS if kind.own}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_each_row_is_complete(row: Source) -> None:
    assert row.kind in KINDS and row.what and not row.path
    assert bool(row.asset) != bool(row.generate), "a file or a generator"
    if row.asset:
        assert row.count > 0 and row.asset.licence
        assert row.asset.sources or row.published_hash, "a file that is only supplied by hand is known by its hash"
    else:
        assert row.stand_in, "generated data satisfy no claim"


def test_keys_name_one_data_set_each() -> None:
    assert len(SOURCES) == len(ROWS) and FILE not in SOURCES, "records say data.source and no kind"


def test_each_option_in_conf_names_a_row_and_each_row_has_an_option() -> None:
    assert {name: values["source"] for name, values in OPTIONS.items()} == (
        {key: key for key in SOURCES} | {own: FILE for own in OWN}
    )


@pytest.mark.parametrize("row", [row for row in ROWS if row.asset], ids=lambda row: row.key)
def test_the_count_of_a_row_is_that_of_its_file(row: Source) -> None:
    assert row.asset is not None
    assert len(row.kind.read(real(row.asset))) == row.count


@pytest.mark.parametrize(
    ("config", "wrong", "said"),
    [
        (MessagesConfig, {"source": "spm"}, "data.source=spm: possible: spam, messages, file; nearest: spam"),
        (MessagesConfig, {"source": FILE}, "or data=csv data.path=FILE"),
        (MessagesConfig, {"size": 200}, "the SMS Spam Collection has 5,572 rows"),
        (MessagesConfig, {"source": "messages", "size": 99}, "data=messages needs at least 100 messages"),
        (CorpusConfig, {"source": "spam"}, "data.source=spam: possible: verdict, file"),
        (CorpusConfig, {"source": FILE}, "data=verdict without a path, or data=text data.path=FILE"),
        (InstructionsConfig, {"source": "alpca"}, "instructions, alpaca, alpaca_9k, file; nearest: alpaca"),
        (InstructionsConfig, {"path": "x"}, "data=instructions or data=alpaca or data=alpaca_9k without a path"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_what_is_possible(
    config: type[Any], wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        config(**wrong)


def test_what_an_experiment_needs_is_said_by_the_row() -> None:
    every = experiments.read_all()
    for name, needs in {
        "ch06_row01_baseline": ["SMSSpamCollection"],
        "ch07_3_alpaca": ["alpaca_data.json"],
        "quickstart": [],
        "chA_3_parameters": [],
    }.items():
        assert sources.needed_by(every[name]) == needs

    def choosing(option: str, **data: str) -> list[str]:
        content = {"defaults": [{"override /task": "instruct"}, {"override /data": option}], "data": data}
        return sources.needed_by(experiments.Experiment("mine", Path("mine.yaml"), content))

    assert choosing("alpaca_9k") == ["alpaca_random_9k.json (from SCRATCHLAB_MIRROR only)"]
    assert choosing("entries") == ["a file (data.path)"]
    assert choosing("entries", path="mine.json") == ["mine.json"]
    assert choosing("elsewhere") == ["what data=elsewhere names"]


@pytest.mark.parametrize("key", [row.key for row in ROWS if row.stand_in])
def test_a_run_on_data_that_stand_in_satisfies_no_claim_even_if_its_record_denies_it(key: str, tmp_path: Path) -> None:
    for seed in (123, 124, 125):
        write_run(tmp_path, "variant", seed, 0.95, config={"data": {"source": key}})
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.NOT_COMPARABLE and f"data.source={key}" in found.reason


MADE = {
    MESSAGES: "".join(
        f"{'spam' if i % 2 else 'ham'}\t{'win the prize' if i % 2 else 'meet me'} at {i}\n" for i in range(200)
    ),
    CORPUS: " ".join(f"In year {year} the hare of Lund counted {year % 7} boats." for year in range(1800, 1850)),
    ENTRIES: json.dumps([{"instruction": f"Say {i}.", "input": "", "output": str(i)} for i in range(60)]),
}
LENGTHS = {MESSAGES: 200, CORPUS: len(MADE[CORPUS]), ENTRIES: 60}
SHORT = [*TINY, "model.context_length=64", "train.epochs=1", "train.eval_batches=1", "compute.device=cpu"]
TASKS = {
    MESSAGES: ["task=classify", *SHORT],
    CORPUS: ["task=pretrain", *SHORT, "train.max_length=16", "sampling.max_new_tokens=2"],
    ENTRIES: ["task=instruct", *SHORT, "train.max_length=48", "sampling.max_new_tokens=2"],
}

Adding = Callable[..., Source]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adding:
    """Adds a data set: a row, an option in a folder, and a file in the mirror folder."""
    monkeypatch.setenv("SCRATCHLAB_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))

    def adding(kind: Kind, content: str, *, sha: str = "", count: int = 0) -> Source:
        (tmp_path / "mirror").mkdir(exist_ok=True)
        (tmp_path / "mirror" / "mine.data").write_text(content, encoding="utf-8")
        (tmp_path / "conf" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "data" / "mine.yaml").write_text("source: mine\n")
        asset = Asset("mine.data", "none", (), sha)
        row = Source(key="mine", kind=kind, what="made for a test", asset=asset, count=count or LENGTHS[kind])
        monkeypatch.setitem(SOURCES, "mine", row)
        return row

    return adding


@pytest.mark.vocabulary
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_data_set_of_a_known_kind_is_one_row_and_one_option(kind: Kind, add: Adding, tmp_path: Path) -> None:
    assert gpt2().encoding  # cached before the mirror folder is another one
    row = add(kind, MADE[kind])
    where = [f"hydra.searchpath=[file://{tmp_path / 'conf'}]", f"out={tmp_path / 'out'}"]
    config = compose.compose([*TASKS[kind], "data=mine", *where])
    result = run(config)
    assert result["status"] == "done" and result["metrics"]["train_loss"] > 0
    assert config.inputs()["data"] == sha256(row.file())
    with pytest.raises(ValueError, match=f"data.source=mne: possible: .*{kind.own and FILE}.*nearest: mine"):
        compose.compose([*TASKS[kind], "data.source=mne"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_file_of_another_count_is_not_the_data_set(kind: Kind, add: Adding) -> None:
    row = add(kind, MADE[kind], count=7)
    with pytest.raises(FileNotFoundError, match=f"{LENGTHS[kind]:,} {kind.unit} instead of 7: another file"):
        row.file()
    assert row.inputs() == {}


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (MESSAGES, "ham\tmeet me\negg\tno label\n", r"row 1 \(from 0\): its Label is 'egg'; must be ham or spam"),
        (MESSAGES, "ham\tmeet me\nspam\n", r"row 1 \(from 0\): its Text is nan"),
        (ENTRIES, '[{"instruction": "a", "input": ""}]', r"entry 0 \(from 0\): has no 'output'"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(kind: Kind, content: str, said: str, add: Adding) -> None:
    row = add(kind, content)
    with pytest.raises(FileNotFoundError, match=said):
        row.file()


def test_a_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match="latin.txt is no UTF-8 text"):
        readers.text(tmp_path / "latin.txt")


def test_a_file_of_a_wrong_hash_is_never_used(add: Adding) -> None:
    add(MESSAGES, MADE[MESSAGES], sha="0" * 64)
    with pytest.raises(FileNotFoundError, match="instead of 0000"):
        collection.load(MessagesConfig(source="mine"))
    assert MessagesConfig(source="mine").inputs() == {"data": "0" * 64}, "asked for is the published file"


def test_a_data_set_of_one_s_own_is_only_an_option_with_a_path(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(MADE[ENTRIES])
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "mine.yaml").write_text(f"source: file\npath: {tmp_path / 'mine.json'}\n")
    config = compose.compose(["task=instruct", "data=mine", f"hydra.searchpath=[file://{tmp_path / 'conf'}]"])
    assert isinstance(config.data, InstructionsConfig)  # type: ignore[attr-defined]
    assert config.inputs()["data"] == sha256(tmp_path / "mine.json")
