"""Instructions: the book's split, batches and masks, and what is said of files that are not as they should be."""

import json
from pathlib import Path

import pytest
import torch
from conftest import real
from test_prompts import template
from torch.nn import functional as F

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import sha256
from scratchlab.data import instructions, readers
from scratchlab.data.config import InstructionsConfig
from scratchlab.data.instructions import Item, collate
from scratchlab.text.tokenizer import gpt2

EOT, IGNORE = 50256, -100


@pytest.fixture(scope="module")
def entries() -> dict[str, list[instructions.Entry]]:
    real(catalogue.INSTRUCTIONS)
    return instructions.load(InstructionsConfig())


@pytest.fixture(scope="module")
def alpaca_style(entries: dict[str, list[instructions.Entry]]) -> dict[str, instructions.Instructions]:
    return {name: instructions.Instructions(part, template("alpaca"), gpt2()) for name, part in entries.items()}


def test_the_1100_entries_are_cut_in_file_order_as_in_section_7_2(entries: dict[str, list[instructions.Entry]]) -> None:
    assert {name: len(part) for name, part in entries.items()} == {"train": 935, "test": 110, "val": 55}
    assert entries["test"][0]["input"] == "The car is very fast."
    assert "The chef cooks the meal every day." in entries["val"][0]["instruction"]


def test_seeded_batches_have_the_lengths_of_section_7_5(alpaca_style: dict[str, instructions.Instructions]) -> None:
    # chapter 7's notebook prints the shapes of the first pass; 928 of 935 entries, the last batch is incomplete
    loaders = instructions.loaders(alpaca_style, batch_size=8, mask=False, max_length=1024)
    torch.manual_seed(123)
    lengths = [ids.shape[1] for ids, _ in loaders["train"]]
    assert len(lengths) == 116 and sum(lengths) == 8135
    assert lengths[:12] == [61, 76, 73, 68, 65, 72, 80, 67, 62, 75, 62, 68]
    assert lengths[-5:] == [64, 83, 66, 74, 69]
    assert (len(loaders["test"]), len(loaders["val"])) == (14, 7)


def test_token_counts_are_those_derived_from_the_data(
    entries: dict[str, list[instructions.Entry]], alpaca_style: dict[str, instructions.Instructions]
) -> None:
    # derived independently: 34,884 of 52,760 targets are the instruction's; a mean of 56.4 tokens, 38.9 with Phi-3's
    alpaca = instructions.count(alpaca_style["train"], mask=True, max_length=1024)
    assert (alpaca.masked, alpaca.targets, alpaca.tokens_max) == (34_884, 52_760, 91)
    assert alpaca.tokens_mean == pytest.approx(56.4, abs=0.05)
    phi3_train = instructions.Instructions(entries["train"], template("phi3"), gpt2())
    phi3 = instructions.count(phi3_train, mask=False, max_length=1024)
    assert (phi3.masked, phi3.tokens_max) == (0, 75)
    assert phi3.tokens_mean == pytest.approx(38.9, abs=0.05)


def test_collate_gives_the_targets_of_section_7_3() -> None:
    rows = [Item([0, 1, 2, 3, 4], 1), Item([5, 6], 1), Item([7, 8, 9], 1)]
    inputs, targets = collate(rows, gpt2(), mask=False, max_length=1024)
    assert inputs.tolist() == [[0, 1, 2, 3, 4], [5, 6, EOT, EOT, EOT], [7, 8, 9, EOT, EOT]]
    assert targets.tolist() == [[1, 2, 3, 4, EOT], [6, EOT, IGNORE, IGNORE, IGNORE], [8, 9, EOT, IGNORE, IGNORE]]


def test_an_ignored_target_counts_for_nothing_in_the_loss_of_section_7_3() -> None:
    logits = torch.tensor([[-1.0, 1.0], [-0.5, 1.5], [-0.5, 1.5]])
    two = F.cross_entropy(logits[:2], torch.tensor([0, 1]))
    assert two.item() == pytest.approx(1.1269, abs=5e-5)
    assert F.cross_entropy(logits, torch.tensor([0, 1, 1])).item() == pytest.approx(0.7936, abs=5e-5)
    assert F.cross_entropy(logits, torch.tensor([0, 1, IGNORE])).item() == two.item()


def test_masking_the_sample_of_exercise_7_2_leaves_the_response_and_its_heading(
    entries: dict[str, list[instructions.Entry]],
) -> None:
    # the exercise prints this row: 46 targets masked, 16 kept, 2 padding, in a batch of 64 tokens
    [entry] = [entry for entry in entries["train"] if entry["output"] == "Crocodile, Elephant, Zebra"]
    item = instructions.encode(gpt2(), template("alpaca"), entry)
    inputs, targets = collate([item, Item([1] * 64, 1)], gpt2(), mask=True, max_length=1024)
    row = targets[0].tolist()
    heading = [198, 198, 21017, 18261, 25, 198]  # two line breaks, "### Response:", a line break
    response = [34, 12204, 375, 576, 11, 42651, 11, 1168, 37052]
    assert row == [IGNORE] * 46 + heading + response + [EOT] + [IGNORE] * 2
    # one target fewer is masked than the question has tokens: its last token predicts the answer's first
    assert item.question == 47 and inputs[0, 46].item() == item.ids[46]


def test_an_end_of_text_inside_an_entry_is_a_token_like_any_other() -> None:
    _, targets = collate([Item([1, EOT, 2], 1), Item([1], 1)], gpt2(), mask=False, max_length=1024)
    assert targets.tolist() == [[EOT, 2, EOT], [EOT, IGNORE, IGNORE]]


def test_text_that_reads_as_the_end_marker_is_encoded_as_text() -> None:
    try:
        item = instructions.encode(
            gpt2(), template("alpaca"), {"instruction": "Say <|endoftext|>", "input": "", "output": "No"}
        )
    except FileNotFoundError as error:
        pytest.skip(f"no GPT-2 vocabulary: {error}")
    assert EOT not in item.ids


def test_entries_are_cut_at_the_maximum_length_and_cut_answers_are_counted() -> None:
    class Fixed(instructions.Instructions):
        def __init__(self, items: list[Item]) -> None:
            self.items = items

    data = Fixed([Item([1, 2, 3, 4, 5, 6], 2), Item([1, 2, 3, 4, 5, 6], 5), Item([1, 2, 3, 4], 2)])
    inputs, targets = collate(data.items, gpt2(), mask=True, max_length=4)
    assert inputs.shape == (3, 4)
    assert targets.tolist() == [[IGNORE, 3, 4, 5], [IGNORE] * 4, [IGNORE, 3, 4, EOT]]
    counted = instructions.count(data, mask=True, max_length=4)
    assert (counted.cut, counted.lost, counted.targets, counted.masked) == (2, 1, 12, 6)
    assert not instructions.has_target((inputs[1:2], targets[1:2]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"instruction": "a", "input": ""}], r"entry 0 \(from 0\): has no 'output'"),
        (
            [{"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "output": "b"}],
            "entry 1.*no 'input'",
        ),
        ([{"instruction": "a", "input": None, "output": "b"}], "'input' is a NoneType, not text"),
        ([{"instruction": " ", "input": "", "output": "b"}], "'instruction' is empty"),
        (["text"], "is a str, not a mapping with instruction, input, output"),
        ({"instruction": "a"}, "holds one dict; must be a list"),
    ],
)
def test_a_malformed_entry_is_named_with_what_it_lacks(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        readers.entries(path)


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("[{", encoding="utf-8")
    with pytest.raises(ValueError, match="data.json is no JSON file"):
        readers.entries(path)


def test_the_book_s_file_cannot_pass_for_the_52002_alpaca_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the exercise's script keeps both under one name, and then trains on whichever was there first
    entry = {"instruction": "a", "input": "", "output": "b"}
    file = tmp_path / "alpaca_data.json"
    monkeypatch.setenv("SCRATCHLAB_MIRROR", str(tmp_path))
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("scratchlab.assets.fetch._get", unreachable)
    config = InstructionsConfig(source="alpaca")
    file.write_text(json.dumps([entry] * 1100), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="mirror: .* has 1,100 entries instead of 52,002"):
        instructions.load(config)
    file.write_text(json.dumps([entry | {"output": None}] + [entry] * 52_001), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"entry 0 \(from 0\): its 'output' is a NoneType"):
        instructions.load(config)
    file.write_text(json.dumps([entry] * 52_002), encoding="utf-8")
    assert len(instructions.load(config)["train"]) == 44_201, "the wrong files were never a first use"
    assert config.inputs() == {"data": sha256(file)}
    file.write_text(json.dumps([entry] * 52_001 + [entry | {"output": "c"}]), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="instead of .*, that of its first use"):
        instructions.load(config)


def unreachable(*_: object) -> Path:
    raise OSError("no network")


def test_entries_of_one_s_own_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps([{"instruction": f"Say {i}.", "input": "", "output": str(i)} for i in range(40)]))
    config = InstructionsConfig(source="file", path=str(file))
    assert {name: len(part) for name, part in instructions.load(config).items()} == {"train": 34, "test": 4, "val": 2}
    assert config.inputs() == {"data": sha256(file)}
    file.write_text(json.dumps([{"instruction": "a", "input": "", "output": "b"}] * 19))
    with pytest.raises(ValueError, match="has 19 entries; must be at least 20"):
        instructions.load(config)
    file.unlink()
    assert config.inputs() == {}
    with pytest.raises(FileNotFoundError, match="mine.json: no such file"):
        instructions.load(config)


@pytest.mark.parametrize(("source", "path"), [("file", ""), ("instructions", "mine.json")])
def test_a_path_goes_with_entries_of_one_s_own_only(source: str, path: str) -> None:
    with pytest.raises(ValueError, match="or data=entries data.path=FILE"):
        InstructionsConfig(source=source, path=path)


def test_a_size_takes_the_first_entries_of_the_file(entries: dict[str, list[instructions.Entry]]) -> None:
    small = instructions.load(InstructionsConfig(size=40))
    assert small["train"] + small["test"] + small["val"] == entries["train"][:40]


def test_a_training_split_smaller_than_a_batch_is_refused() -> None:
    class Two(instructions.Instructions):
        def __init__(self) -> None:
            self.items = [Item([1, 2], 1)] * 2

    with pytest.raises(ValueError, match="train.batch_size=8: the training split has only 2 entries"):
        instructions.loaders({"train": Two()}, batch_size=8, mask=False, max_length=8)
