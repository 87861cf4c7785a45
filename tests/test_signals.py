"""A run that is asked to stop: what it keeps, what its record says, and who is told afterwards."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY

from scratchlab.launch import jobs
from scratchlab.runs import record
from scratchlab.runs.registry import TASKS
from scratchlab.runs.signals import Interrupted, at_boundaries, ending_once, exit_code
from scratchlab.runs.tracking import Tracker
from scratchlab.training import evaluate, fit, resume, steps

pytestmark = pytest.mark.vocabulary

LINE = [
    *("task=classify", *TINY, "data=messages", "data.size=100", "model.context_length=64", "model.emb_dim=16"),
    *("model.n_layers=1", "train.epochs=2", "train.eval_every=5", "train.eval_batches=1"),
]
ACCUMULATED = ["train.batch_size=4", "train.accumulate=4"]
TIMING = ("train_seconds", "tokens_per_second", "peak_memory_bytes")


def keep(job: jobs.Job) -> dict[str, Any]:
    result, _ = record.keep(job.config, TASKS["classify"].run, changes={}, tracker=Tracker(job.config.tracking))
    return result


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result["metrics"].items() if name not in TIMING}


def batches(folder: Path) -> int:
    return sum("batch_loss" in line for line in record.read_history(folder))


class Counted(steps.Steps):
    """Says which batches were trained on."""

    numbers: list[int] = []

    def __iter__(self) -> Iterator[steps.Step]:
        for step in super().__iter__():
            Counted.numbers.append(step.number)
            yield step


@pytest.fixture
def handlers() -> Iterator[dict[str, list[Any]]]:
    """Handlers as a launcher would have set them; each notes what the record says when it is called."""
    told: dict[str, list[Any]] = {}

    def handler(number: int, frame: Any) -> None:
        (folder,) = record.folders("outputs")
        result = record.read_result(folder)
        told[signal.Signals(number).name] = [result and result["status"], (folder / resume.STATE).is_file()]

    names = ("SIGTERM", "SIGUSR1", "SIGUSR2")
    before = {name: signal.signal(getattr(signal, name), handler) for name in names}
    before["SIGINT"] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield told
    for name, old in before.items():
        signal.signal(getattr(signal, name), old)


@pytest.mark.parametrize(
    ("name", "words"), [("SIGTERM", []), ("SIGINT", []), ("SIGUSR1", ACCUMULATED), ("SIGUSR2", ACCUMULATED)]
)
def test_a_run_that_is_asked_to_stop_ends_with_its_step_tells_who_waited_and_goes_on_from_there(
    name: str, words: list[str], tmp_path: Path, handlers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    whole = keep(jobs.job([*LINE, *words, "out=whole"]))
    job = jobs.job([*LINE, *words])
    losses = evaluate.mean_loss
    sent: list[str] = []

    def asked(*arguments: Any, **named: Any) -> float:
        if batches(job.folder) == 6 and not sent:  # in the middle of what belongs to a step
            sent.append(name)
            os.kill(os.getpid(), getattr(signal, name))
        return losses(*arguments, **named)

    monkeypatch.setattr(evaluate, "mean_loss", asked)
    with pytest.raises(KeyboardInterrupt, match="^$" if name == "SIGINT" else name):
        keep(job)
    monkeypatch.setattr(evaluate, "mean_loss", losses)
    assert handlers == ({} if name == "SIGINT" else {name: ["interrupted", True]})
    stopped = batches(job.folder)
    assert stopped == (8 if words else 6), "the update that it was in is whole"
    monkeypatch.setattr(fit, "Steps", Counted)
    monkeypatch.setattr(Counted, "numbers", [])
    assert numbers(keep(job)) == numbers(whole)
    assert Counted.numbers[0] == stopped, "no batch is done twice"


def test_a_run_that_is_asked_to_stop_after_its_last_batch_trains_on_none_again(
    tmp_path: Path, handlers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    whole = keep(jobs.job([*LINE, "out=whole"]))
    job = jobs.job(LINE)
    predict = evaluate.predict

    def asked(loader: Any, logits_of: Any, batches: int | None = None, **named: Any) -> Any:
        if batches is None:
            predict(loader, logits_of, **named)  # draws, as what follows a training does
            os.kill(os.getpid(), signal.SIGTERM)
        return predict(loader, logits_of, batches, **named)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(evaluate, "predict", asked)
        keep(job)
    assert handlers["SIGTERM"][0] == "interrupted"
    monkeypatch.setattr(fit, "Steps", Counted)
    monkeypatch.setattr(Counted, "numbers", [])
    assert numbers(keep(job)) == numbers(whole)
    assert Counted.numbers == []


def test_ctrl_c_given_twice_does_not_wait_and_a_signal_that_came_in_between_is_not_lost() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        steps_done = 0
        with pytest.raises(KeyboardInterrupt), ending_once(), at_boundaries():
            os.kill(os.getpid(), signal.SIGINT)
            steps_done += 1
            os.kill(os.getpid(), signal.SIGINT)
            steps_done += 1
        assert steps_done == 1
        with pytest.raises(Interrupted, match="SIGUSR1"), ending_once(), at_boundaries():
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)  # no second thought of a scheduler's makes it end any sooner
            steps_done += 1
        assert steps_done == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ending_once():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_ends_the_process_has_the_last_word() -> None:
    before = signal.signal(signal.SIGUSR2, lambda number, frame: sys.exit(7))
    try:
        with pytest.raises(SystemExit) as ended, ending_once():
            os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert ended.value.code == 7


def test_exit_codes_are_those_of_a_shell() -> None:
    assert [exit_code(Interrupted("SIGTERM")), exit_code(Interrupted("SIGUSR1")), exit_code(KeyboardInterrupt())] == [
        *(143, 138, 130),
    ]
