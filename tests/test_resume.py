"""A training that is stopped goes on, in every task that trains, to the numbers of one that was not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scratchlab.launch import compose
from scratchlab.runs import record
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker
from scratchlab.training import fit, pace, resume, steps

pytestmark = pytest.mark.vocabulary

TINY = ["model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=2", "weights=random", "tracking=none"]
LINES = {
    "classify": [
        *("task=classify", "data=messages", "data.size=200", "data.pad_to=none", "tune=lora", "train.epochs=2"),
        *("train.batch_size=1", "train.accumulate=4", "train.eval_every=10", "train.eval_batches=2"),
    ],
    "instruct": [
        *("experiment=ch07_4_lora", "mask_instruction=true", "data=entries", "data.path=mine.json", "train.epochs=2"),
        *("train.batch_size=4", "train.eval_every=4", "train.eval_batches=1", "sampling.max_new_tokens=8"),
    ],
    "pretrain": [
        *("task=pretrain", "data=text", "data.path=mine.txt", "dropout=uniform", "model.context_length=16"),
        *("train.epochs=3", "train.eval_every=2", "sampling.max_new_tokens=5", "train.warmup=3", "train.decay=cosine"),
    ],
}
TIMING = ("train_seconds", "tokens_per_second", "answer_seconds", "peak_memory_bytes")


class Killed(BaseException):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    words = "It was a cold day and nobody had thought of bringing a coat, so they all went home again.".split()
    Path("mine.txt").write_text(" ".join(words[number * number % len(words)] for number in range(400)))
    entries = [
        {"instruction": f"Say {words[i % 19]}.", "input": "", "output": " ".join(words[: i % 9])} for i in range(40)
    ]
    Path("mine.json").write_text(json.dumps(entries))


def run(*overrides: str) -> tuple[dict[str, Any], Path]:
    config = compose.compose(list(overrides))
    result, _ = record.keep(config, TASKS[config.task].run, changes={}, tracker=Tracker(config.tracking))
    return result, record.folder_of(config)


QUICK = (("classify", 0.5), ("instruct", 1.0), ("pretrain", 0.9))
"""Tried in every test run; `kill_points.py` tries every place."""
PLACES = [
    pytest.param(task, share, marks=() if (task, share) in QUICK else pytest.mark.slow)
    for task in LINES
    for share in (0.1, 0.5, 0.9, 1.0)
]


@pytest.mark.parametrize(("task", "share"), PLACES)
def test_a_stopped_training_goes_on_to_the_same_numbers(
    task: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [*LINES[task], *TINY]
    whole, whole_folder = run(*line, "out=elsewhere")
    history = record.read_history(whole_folder)
    total = sum("batch_loss" in entry for entry in history)
    trained: list[int] = []
    limit = int(total * share)

    class Dies(steps.Steps):
        def __iter__(self) -> Iterator[steps.Step]:
            for step in super().__iter__():
                if len(trained) == limit:
                    raise Killed
                trained.append(step.number)
                yield step
            if len(trained) == limit:  # after the last batch, whose state is kept, and before anything is measured
                raise Killed

    monkeypatch.setattr(fit, "Steps", Dies)
    with pytest.raises(Killed):
        run(*line, "checkpoint_minutes=1e-9")
    limit = total + total
    result, folder = run(*line, "checkpoint_minutes=1e-9")
    # batches since the last update are done again: their gradients are no part of a state
    assert len(trained) - total < 4 and trained[-1] == total - 1
    assert record.read_history(folder) == history
    assert [[line[key] for key in ("step", "lr", "tokens")] for line in pace.read(folder)] == [
        [line[key] for key in ("step", "lr", "tokens")] for line in pace.read(whole_folder)
    ]
    assert [line["step"] for line in pace.read(folder)] == list(range(total))
    assert result["hashes"] == whole["hashes"]
    for name, value in whole["metrics"].items():
        assert name in TIMING or result["metrics"][name] == value, name
    for name in ("samples.txt", "responses.json", "predictions.csv"):
        if (whole_folder / name).exists():
            assert (folder / name).read_text() == (whole_folder / name).read_text(), name
    assert not (folder / resume.STATE).exists()


@pytest.mark.parametrize("task", LINES)
def test_a_kill_before_the_result_is_written_costs_no_training(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any) -> None:
        raise Killed

    line = [*LINES[task], *TINY, "checkpoint_minutes=1e-9"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(record, "_write_result", dies)
        run(*line)
    trained: list[int] = []
    kept = resume.Resume.keep
    monkeypatch.setattr(resume.Resume, "keep", lambda self, *rest: (trained.append(1), kept(self, *rest)))
    result, folder = run(*line)
    assert result["status"] == "done" and not trained
    assert not (folder / resume.STATE).exists()


def test_a_kill_before_the_state_is_dropped_leaves_it_to_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    line = [*LINES["pretrain"], *TINY, "checkpoint_minutes=1e-9"]
    with monkeypatch.context() as patch:
        patch.setattr(record, "drop_state", lambda folder: None)
        _, folder = run(*line)
    assert (folder / resume.STATE).exists()
    again, _ = run(*line)
    assert again["status"] == "done" and not (folder / resume.STATE).exists()


def test_a_state_that_cannot_be_written_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    result, _ = run(*LINES["pretrain"], *TINY, "checkpoint_minutes=1e-9")
    assert result["status"] == "done" and "No space left on device" in caplog.text


def test_force_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(self: resume.Resume, *rest: Any) -> None:
        kept(self, *rest)
        raise Killed

    kept = resume.Resume.keep
    line = [*LINES["pretrain"], *TINY, "checkpoint_minutes=1e-9"]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(resume.Resume, "keep", dies)
        run(*line)
    trained: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(resume.Resume, "keep", lambda self, steps, *_: trained.append(steps.done))
        run(*line, "force=true")
    assert trained[0] == 1
