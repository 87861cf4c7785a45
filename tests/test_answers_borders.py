"""Answers and sampling at their borders: who is written with whom, what is drawn, and what lies in the files."""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_decoder import END, letters, rotary
from torch import Tensor

from scratchlab.generation import responses, sampling
from scratchlab.generation.config import SamplingConfig
from scratchlab.runs.record import Record
from scratchlab.text.prompts import PromptConfig

PROMPT = PromptConfig(question="Q: {instruction}{input}", input=" {input}", answer="A: {output}")
GREEDY = SamplingConfig(max_new_tokens=3)
DRAWN = SamplingConfig(temperature=1.0, max_new_tokens=2)


def entries(count: int) -> list[dict[str, str]]:
    return [{"instruction": "say " + "é" * (count - i), "input": "", "output": str(i)} for i in range(count)]


def question(entry: dict[str, str]) -> list[int]:
    return list(f"Q: {entry['instruction']}".encode())


def answered(path: Path, count: int, config: SamplingConfig, seed: int = 5) -> list[list[int]]:
    return responses.answer(
        rotary(context_length=60), PROMPT, entries(count), config, path, seed=seed, autocast=nullcontext()
    )


# answers


def test_drawn_answers_come_in_groups_of_16_each_from_a_seed_of_its_own(tmp_path: Path) -> None:
    found = answered(tmp_path / "a", 18, DRAWN)
    model, questions = rotary(context_length=60), [question(entry) for entry in entries(18)]
    torch.manual_seed(5)
    first = sampling.generate(model, questions[:16], DRAWN, end_token=END)
    torch.manual_seed(5 + 16)
    assert found == first + sampling.generate(model, questions[16:], DRAWN, end_token=END)


def test_a_group_that_is_not_whole_is_drawn_again_and_an_answer_that_is_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(responses, "TOGETHER", 2)
    caplog.set_level(logging.INFO)
    path = tmp_path / "a"
    whole = answered(path, 5, DRAWN)
    assert "are there already" not in caplog.text
    lines = path.read_text().splitlines(keepends=True)
    mark = json.dumps({"index": 1, "ids": [65], "text": "A"}) + "\n"
    path.write_text("".join([lines[0], mark, lines[2]]))  # 0 and 1 are whole, 3 is missing
    assert answered(path, 5, DRAWN) == [whole[0], [65], *whole[2:]]
    assert "2 of 5 answers are there already" in caplog.text
    # where nothing is drawn, each stands for itself
    greedy = answered(tmp_path / "b", 5, GREEDY)
    (tmp_path / "b").write_text(mark)
    assert answered(tmp_path / "b", 5, GREEDY) == [greedy[0], [65], *greedy[2:]]
    assert "1 of 5 answers are there already" in caplog.text
    lines = (tmp_path / "b").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2, 3, 4]  # the shortest was written first


def test_answers_follow_the_question_and_lie_in_the_file_as_text_too(tmp_path: Path) -> None:
    found = answered(tmp_path / "a", 3, GREEDY)
    model = rotary(context_length=60)
    assert found == sampling.generate(model, [question(entry) for entry in entries(3)], GREEDY, end_token=END)
    responses._write_all(tmp_path / "a", letters(), {1: list("né".encode()), 0: [65]})
    assert (tmp_path / "a").read_text() == (
        '{"index": 0, "ids": [65], "text": "A"}\n{"index": 1, "ids": [110, 195, 169], "text": "né"}\n'
    )


def test_so_many_are_answered_together_as_the_caches_have_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3 blocks, 2 heads of 8 numbers of 4 bytes, keys and values: 384 bytes a token, of 2 GiB
    assert [responses._together(rotary(), tokens) for tokens in (1, 100_000, 10**6)] == [64, 2**31 // 38_400_000, 16]
    cache = SimpleNamespace(keys=torch.empty(2**23, device="meta"))  # 32 MiB, and as much for the values
    model: Any = SimpleNamespace(new_cache=lambda *_, like: [cache], tok_emb=SimpleNamespace(weight=None))
    assert [responses._together(model, tokens) for tokens in (0, 1, 2)] == [32, 32, 16]
    asked: list[int] = []

    def two(model: Any, tokens: int) -> int:
        asked.append(tokens)
        return 2

    monkeypatch.setattr(responses, "_together", two)
    answered(tmp_path / "a", 3, GREEDY)
    assert asked == [max(len(question(entry)) for entry in entries(3)) + 3]


@pytest.mark.parametrize("sharded", [False, True])
def test_the_first_of_several_answers_alone_unless_the_others_hold_parts_of_the_model(
    sharded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    clock = iter((100.0, 107.0))
    monkeypatch.setattr(responses, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(
        responses, "processes", SimpleNamespace(leave_the_rest_to_the_first=lambda: said.append("alone"))
    )

    def answer(*given: Any, **_: Any) -> list[list[int]]:
        said.append(given[4].name)
        return [list("A: né".encode())]

    @contextmanager
    def whole(model: Any) -> Iterator[None]:
        said.append("whole")
        yield

    monkeypatch.setattr(responses, "answer", answer)
    monkeypatch.setattr(responses, "whole", whole)
    monkeypatch.setattr(responses, "overlap", lambda ours, references: {"alike": (ours, references)})
    model: Any = SimpleNamespace(sharded=sharded, tokenizer=letters())
    given = [{"instruction": "x", "input": "", "output": "né"}]
    found, metrics = responses.respond(model, PROMPT, given, GREEDY, Record(tmp_path), seed=1, autocast=nullcontext())
    assert said == ["alone"] * (not sharded) + ["whole", "responses.jsonl", "alone"]
    assert found == [given[0] | {"model_response": "né"}]
    assert (metrics["answers"], metrics["answer_seconds"], metrics["alike"]) == (1, 7.0, (["né"], ["né"]))
    assert metrics["first_answer_ids"] == list("A: né".encode())
    keys = (
        '        "instruction": "x",\n        "input": "",\n        "output": "né",\n        "model_response": "né"\n'
    )
    assert (tmp_path / "responses.json").read_text() == f"[\n    {{\n{keys}    }}\n]\n"


# one token


def test_one_token_is_chosen_for_each_row() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [9.0, 0.0, 1.0]])
    assert sampling.choose(logits, SamplingConfig()).tolist() == [1, 0]
    asked: list[Tensor] = []

    def draw(wanted: Tensor) -> Tensor:
        asked.append(wanted)
        return torch.tensor([2, 2])

    assert sampling.choose(logits, SamplingConfig(temperature=1.0, top_k=1), draw).tolist() == [2, 2]
    assert asked[0].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert sampling.draw(torch.eye(3)).tolist() == [0, 1, 2]
    assert sampling.draw(torch.ones(2, 1)).tolist() == [0, 0]


def test_text_comes_when_its_characters_are_whole() -> None:
    assert list(sampling.to_text(letters(), "aé!".encode())) == ["a", "é", "!"]
    assert list(sampling.to_text(letters(), "aé".encode()[:-1])) == ["a", "\ufffd"]


def test_any_prompt_of_known_tokens_may_be_continued_from_all_of_them() -> None:
    model: Any = SimpleNamespace(config=SimpleNamespace(vocab_size=3))
    sampling._check(model, [[0, 1, 2]], SamplingConfig())
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        sampling._check(model, [[0], []], SamplingConfig())


# many tokens


class Scripted:
    """Stands for a writer: every row has its tokens beforehand."""

    script: dict[int, list[int]]
    steps: list[list[int]]

    def __init__(self, model: Any, sequences: list[list[int]], config: SamplingConfig) -> None:
        self.sequences, self.start = sequences, [len(ids) for ids in sequences]

    def logits(self, rows: list[int]) -> Tensor:
        self.steps.append(list(rows))
        assert len(self.steps) < 50, "it never ends"
        found = torch.zeros(len(rows), 10)
        for place, row in enumerate(rows):
            found[place, self.script[row][len(self.sequences[row]) - self.start[row]]] = 1.0
        return found

    def append(self, row: int, token: int) -> None:
        self.sequences[row].append(token)

    def drop(self, rows: list[int]) -> None:
        pass


class Model:
    """What is asked of a model whose tokens are known."""

    config = SimpleNamespace(vocab_size=10)
    training = True

    def eval(self) -> None:
        self.training = False

    def train(self, mode: bool) -> None:
        self.training = mode


OVER = 9


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(sampling, "Writer", Scripted)
    monkeypatch.setattr(sampling, "rounded", lambda model: nullcontext())
    Scripted.steps = []
    return Scripted


def test_rows_end_at_the_end_token_or_when_they_are_as_long_as_they_may_be(scripted: type[Scripted]) -> None:
    scripted.script = {0: [1, OVER], 1: [2, 3, 4, 5], 2: [OVER]}
    model: Any = Model()
    found = list(sampling.texts(model, [[0], [0, 0], [0]], SamplingConfig(max_new_tokens=3), end_token=OVER))
    assert found == [(2, []), (0, [1]), (1, [2, 3, 4])] and model.training
    assert scripted.steps == [[0, 1, 2], [0, 1], [1]]
    scripted.script = {0: [1, 2], 1: [3, 4]}
    assert list(sampling.stream(model, [[0], [0]], SamplingConfig(max_new_tokens=2))) == [
        (0, 1),
        (1, 3),
        (0, 2),
        (1, 4),
    ]
    assert sampling.generate(model, [], GREEDY) == []
    drawn: Any = SamplingConfig(temperature=1.0, max_new_tokens=1)
    found = list(sampling.texts(model, [[0], [0]], drawn))  # all together, where tokens are drawn
    assert [row for row, _ in found] == [0, 1] and [len(ids) for _, ids in found] == [1, 1]
    with pytest.raises(ValueError, match="together=2: tokens that are drawn hang on it"):
        list(sampling.texts(model, [[0]], drawn, together=2))


def test_waiting_texts_take_their_places_when_an_eighth_is_free(scripted: type[Scripted]) -> None:
    scripted.script = {row: [1] * 9 for row in range(20)} | {0: [OVER], 1: [1, 1, OVER]}
    prompts = [[0] * (row + 1) for row in range(20)]
    model: Any = Model()
    config = SamplingConfig(max_new_tokens=5)
    assert len(list(sampling.texts(model, prompts, config, end_token=OVER, together=16))) == 20
    assert [len(rows) for rows in scripted.steps] == [16, 15, 15, 16, 16, 4, 4, 4, 2, 2]
    assert scripted.steps[3] == [*range(2, 18)] and scripted.steps[5] == [16, 17, 18, 19]


@pytest.mark.parametrize("together", [1, 2, 8])
def test_the_shortest_prompts_come_first_and_every_place_that_is_free_is_taken(
    together: int, scripted: type[Scripted]
) -> None:
    scripted.script = dict.fromkeys(range(9), [1, OVER]) | {8: [OVER]}
    prompts = [[0] * (9 - row) for row in range(9)]
    model: Any = Model()
    found = dict(sampling.texts(model, prompts, GREEDY, end_token=OVER, together=together))
    assert found == dict.fromkeys(range(9), [1]) | {8: []}
    assert scripted.steps[0] == [8, 7, 6, 5, 4, 3, 2, 1][:together]
    assert scripted.steps[1] == {1: [7], 2: [7, 6], 8: [7, 6, 5, 4, 3, 2, 1, 0]}[together]


def test_probabilities_follow_the_temperature_in_every_row() -> None:
    found = sampling.probabilities(torch.tensor([[0.0, math.log(9)], [0.0, 0.0]]), 2.0)
    assert torch.allclose(found, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
