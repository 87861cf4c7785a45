"""Texts and entries as tokens, at the borders: counted by hand with a tokenizer of single characters."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scratchlab.data import collection, corpus, instructions
from scratchlab.data.config import InstructionsConfig, MessagesConfig
from scratchlab.data.instructions import Item
from scratchlab.text.prompts import PromptConfig

PROMPT = PromptConfig(question="Q{instruction}{input}", input="+{input}", answer="A{output}")


def characters(parts: Sequence[tuple[str, bool]]) -> list[int]:
    """A token a character, but for two spaces, which are one."""
    text = "".join(text for text, _ in parts).replace("  ", "\0")
    return [ord(character) for character in text]


TOKENIZER: Any = SimpleNamespace(encode_parts=characters, pad=0, end=1)


def encoded(prompt: PromptConfig, instruction: str, output: str) -> Item:
    return instructions.encode(TOKENIZER, prompt, {"instruction": instruction, "input": "", "output": output})


def test_the_question_of_an_entry_ends_before_its_answer() -> None:
    item = encoded(PROMPT, "ask", "yes")
    assert "".join(map(chr, item.ids)) == "QaskAyes" and (item.question, item.masked) == (4, 3)


def test_a_token_over_the_border_counts_to_the_answer() -> None:
    spaced = PromptConfig(question="Q{instruction}{input} ", input="+{input}", answer=" A{output}")
    item = encoded(spaced, "ask", "yes")
    assert "".join(map(chr, item.ids)) == "Qask\0Ayes" and item.question == 4
    # where the whole question is part of such a token, its first one is the question all the same
    alone = PromptConfig(question=" {instruction}{input}", input="{input}", answer=" {output}")
    item = encoded(alone, "", "yes")
    assert "".join(map(chr, item.ids)) == "\0yes" and (item.question, item.masked) == (1, 0)
    # and an answer of nothing makes a question of everything
    bare = PromptConfig(question="Q{instruction}{input}", input="{input}", answer="{output}")
    assert encoded(bare, "ask", "") == Item([ord(character) for character in "Qask"], 4)


def test_tokens_that_are_alike_again_behind_the_border_are_the_answers() -> None:
    # two spaces are one token in the whole and two alone; what comes after is the same, and is not compared
    spaced = PromptConfig(question="Q{instruction}{input} ", input="{input}", answer=" {output}")
    assert encoded(spaced, "", "Q ") == Item([ord("Q"), 0, ord("Q"), ord(" ")], 1)


def test_what_follows_a_first_token_over_the_border_is_the_answers_whatever_it_is_like() -> None:
    ids = {"aaa": [22, 1], "aaaa": [333, 1]}  # pairs and a rest, or three and a rest: the rests are alike
    tokenizer: Any = SimpleNamespace(encode_parts=lambda parts: ids["".join(text for text, _ in parts)])
    prompt = PromptConfig(question="aa{instruction}{input}", input="{input}", answer="{output}")
    entry = {"instruction": "a", "input": "", "output": "a"}
    assert instructions.encode(tokenizer, prompt, entry) == Item([333, 1], 1)


def test_a_file_of_twenty_entries_can_be_split_and_a_size_cuts_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"

    def loaded(total: int, size: int = 0) -> dict[str, int]:
        file.write_text(json.dumps([{"instruction": f"Say {i}.", "input": "", "output": "x"} for i in range(total)]))
        config = InstructionsConfig(source="file", path=str(file), size=size)
        return {name: len(part) for name, part in instructions.load(config).items()}

    assert loaded(20) == loaded(40, 20) == {"train": 17, "test": 2, "val": 1}
    with pytest.raises(ValueError, match="has 19 entries; must be at least 20"):
        loaded(19)


def test_the_hash_of_entries_is_of_their_tokens_and_borders() -> None:
    def hashed(*items: Item) -> str:
        data = object.__new__(instructions.Instructions)
        data.items = list(items)
        return data.fingerprint()

    one, two = Item([1, 2, 3], 1), Item([1, 2, 3], 2)
    assert hashed(one) == hashed(Item([1, 2, 3], 1))
    assert len({hashed(one), hashed(two), hashed(one, two), hashed(two, one), hashed(Item([1, 2, 4], 1))}) == 5


def own(folder: Path, parts: str, labels: str, **more: Any) -> dict[str, list[tuple[str, int]]]:
    """The splits of a file with a row for each letter: `t`rain, `v`al, `e`: test; and the label's letter."""
    names = {"t": "train", "v": "val", "e": "test"}
    rows = [f"message {i},{labels[i % len(labels)]},{names[part]}" for i, part in enumerate(parts)]
    (folder / "mine.csv").write_text("\n".join(["text,label,part", *rows]) + "\n")
    found = collection.load(MessagesConfig(source="file", path=str(folder / "mine.csv"), **more))
    return {name: list(zip(frame["Text"], frame["Label"], strict=True)) for name, frame in found.items()}


def test_rows_of_ones_own_go_where_their_column_says_or_are_cut_70_10_20(tmp_path: Path) -> None:
    parts = "ttvettttttvettttttvettte"
    expected: dict[str, list[tuple[str, int]]] = {"t": [], "v": [], "e": []}
    for i, part in enumerate(parts):
        expected[part].append((f"message {i}", i % 2))
    found = own(tmp_path, parts, "ab", split_column="part")
    assert found == {"train": expected["t"], "val": expected["v"], "test": expected["e"]}
    shuffled = own(tmp_path, parts, "ab")
    assert {name: len(rows) for name, rows in shuffled.items()} == {"train": 16, "val": 2, "test": 6}
    assert sorted(sum(shuffled.values(), [])) == sorted(sum(expected.values(), []))


def test_a_split_without_rows_or_training_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mine.csv: data.split_column=part puts no row into val, test$"):
        own(tmp_path, "t" * 24, "ab", split_column="part")
    said = r"mine.csv: with data.split_column=part the training rows have none of the class b$"
    with pytest.raises(ValueError, match=said):
        own(tmp_path, "tvte" * 6, "ab", split_column="part")
    lost = 0  # of 16 training rows of 24, shuffles leave out both of the two rare ones now and then
    for seed in range(40):
        try:
            assert {label for _, label in own(tmp_path, "t" * 24, "a" * 22 + "bb", split_seed=seed)["train"]} == {0, 1}
        except ValueError as error:
            assert str(error).endswith(f"with data.split_seed={seed} the training rows have none of the class b")
            lost += 1
    assert 0 < lost < 40


def test_a_text_is_cut_by_characters_and_each_part_is_encoded_alone() -> None:
    tokenizer: Any = SimpleNamespace(encode=lambda text: [ord(character) for character in text])
    text = "abcdefghij"
    for share, border in ((0.9, 9), (0.5, 5), (0.25, 2), (0.999, 9)):
        found = corpus.split(text, share, tokenizer)
        assert found == {"train": [ord(c) for c in text[:border]], "val": [ord(c) for c in text[border:]]}


def test_only_the_first_windows_of_each_part_are_taken_where_a_number_is_named() -> None:
    tokenizer: Any = SimpleNamespace(encode=lambda text: list(range(len(text))))
    config: Any = SimpleNamespace(train_fraction=0.5)

    def made(most: int | None = None) -> dict[str, Any]:
        few = None if most is None else lambda there: min(there, most)
        return corpus.loaders("x" * 26, config, tokenizer, length=4, stride=2, batch_size=2, few=few)

    # of 13 tokens, windows of four begin at 0, 2, 4, 6 and 8
    assert {name: len(loader.dataset) for name, loader in made().items()} == {"train": 5, "val": 5}
    assert {name: len(loader.dataset) for name, loader in made(most=3).items()} == {"train": 3, "val": 3}
    batches = list(made(most=3)["val"])
    assert [ids[:, 0].tolist() for ids, _ in batches] == [[0, 2], [4]]
    assert batches[0][1].tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    torch.manual_seed(1)
    order = [ids[:, 0].tolist() for _ in range(8) for ids, _ in made(most=3)["train"]]
    assert {len(batch) for batch in order} == {2} and len({tuple(batch) for batch in order}) > 1
    assert len(made(most=2)["train"]) == 1
    with pytest.raises(ValueError, match="the train part of the text has 13 tokens, too few for a batch"):
        made(most=1)
