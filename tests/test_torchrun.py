"""Several processes do one run: their losses are those of one process, and so are their files."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from scratchlab.evidence.runs import read_run
from scratchlab.launch import compose, execute
from scratchlab.model import families
from scratchlab.model.state_files import load_checkpoint
from scratchlab.runs import record
from scratchlab.runs.aside import STATE
from scratchlab.runs.record import Record
from scratchlab.training import trained
from scratchlab.training.continued import CHECKPOINT, WEIGHTS

pytestmark = [pytest.mark.vocabulary]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
TINY = ["model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=2", "weights=random", "tracking=none"]
TINY += ["compute.threads=1", "train.lr=0.003", "compute.device=cpu"]
LINES = {
    "classify": [
        *("task=classify", "data=messages", "data.size=200", "tune=last_block", "train.epochs=2", "train.batch_size=7"),
        *("train.accumulate=3", "train.eval_every=5", "train.eval_batches=3", "save=true"),
    ],
    "instruct": [  # cut so short that some processes have no target at times
        *("experiment=ch07_4_lora", "mask_instruction=true", "data=entries", "data.path=mine.json", "train.epochs=2"),
        *("train.batch_size=4", "train.eval_every=4", "train.eval_batches=1", "sampling.max_new_tokens=8"),
    ],
    "pretrain": [  # dropout everywhere
        *("task=pretrain", "data=text", "data.path=mine.txt", "dropout=uniform", "model.context_length=16"),
        *("train.epochs=2", "train.eval_every=2", "sampling.max_new_tokens=5", "train.warmup=3", "train.decay=cosine"),
        *("train.clip_norm=1", "train.batch_size=5", "save_checkpoint=true"),
    ],
}
TIMING = ("train_seconds", "tokens_per_second", "answer_seconds", "peak_memory_bytes")


def overrides(task: str, out: str, *more: str) -> list[str]:
    return [*LINES[task], *TINY, f"out={out}", *more]


def torchrun(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*TORCHRUN, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def stopped_after(batches: int, words: list[str]) -> None:
    """Do a run in this process that is killed after some batches, with the state of the last kept."""
    with pytest.MonkeyPatch.context() as patch:
        before = Record.history

        def killed(self: Record, **values: Any) -> None:
            if values.get("step") == batches:
                raise KeyboardInterrupt
            before(self, **values)

        patch.setattr(Record, "history", killed)
        with pytest.raises(KeyboardInterrupt):
            execute.run(compose.compose(words))


def together(jobs: list[list[str]], folder: Path) -> None:
    """Do runs one after the other, each by the same two processes; what they say goes into `said`."""
    (folder / "jobs").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    done = torchrun(str(Path(__file__).parent / "run_together.py"), "jobs", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stderr)


def lay_down(folder: Path) -> None:
    """The files that the runs learn from."""
    words = "It was a cold day and nobody had thought of bringing a coat, so they all went home again.".split()
    (folder / "mine.txt").write_text(" ".join(words[number * number % len(words)] for number in range(700)))
    entries = [
        {"instruction": f"Say {words[i % 19]}.", "input": "", "output": " ".join(words[: i % 9])} for i in range(40)
    ]
    (folder / "mine.json").write_text(json.dumps(entries))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same runs by one process, two, and two that hold parts; and one that went on in two."""
    folder = tmp_path_factory.mktemp("together")
    lay_down(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.set_num_threads(1)
        jobs = [["MAIN", *overrides("classify", "two")]]
        jobs += [overrides(task, "two") for task in LINES]
        jobs += [overrides(task, "parts", "compute.shard=true") for task in LINES]
        jobs += [overrides("pretrain", "went_on", "checkpoint_minutes=1e-9")]
        jobs += [["FAIL", *overrides("pretrain", "failed", "checkpoint_minutes=1e-9")]]
        for task in LINES:
            execute.run(compose.compose(overrides(task, "one")))
        stopped_after(7, jobs[-2])
        together(jobs, folder)
        execute.run(compose.compose(overrides("pretrain", "failed")))
        return folder


def folder_of(runs: Path, how: str, task: str) -> Path:
    [folder] = (runs / how).glob(f"{'ch07_4_lora' if task == 'instruct' else task}/*")
    return folder


def assert_equal(folder: Path, one: Path) -> None:
    """To rounding, in every line of the history and every metric; the rest of the result as it is."""
    ours, theirs = record.read_history(folder), record.read_history(one)
    assert [list(line) for line in ours] == [list(line) for line in theirs]
    for line, other in zip(ours, theirs, strict=True):
        assert line == pytest.approx(other, abs=1e-5, nan_ok=True)
    result, alone = record.read_result(folder), record.read_result(one)
    assert result is not None and alone is not None and result["status"] == alone["status"] == "done"
    for name, value in alone["metrics"].items():
        if name not in TIMING:
            found = result["metrics"][name]
            assert found == (pytest.approx(value, abs=1e-5, nan_ok=True) if isinstance(value, float) else value), name
    assert result["hashes"] == alone["hashes"] and result["fingerprint"] == alone["fingerprint"]


def test_two_processes_learn_as_one_dividing_batches_and_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_down(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    for task in ("classify", "pretrain"):
        execute.run(compose.compose(overrides(task, "one")))
    jobs = [["MAIN", *overrides("classify", "two")], overrides("pretrain", "parts", "compute.shard=true")]
    together(jobs, tmp_path)
    for how, task in (("two", "classify"), ("parts", "pretrain")):
        folder = folder_of(tmp_path, how, task)
        assert_equal(folder, folder_of(tmp_path, "one", task))
        result = record.read_result(folder)
        assert result is not None and result["computed"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["two", "parts"])
@pytest.mark.parametrize("task", LINES)
def test_two_processes_have_the_losses_of_one(runs: Path, task: str, how: str) -> None:
    folder = folder_of(runs, how, task)
    assert_equal(folder, folder_of(runs, "one", task))
    result = record.read_result(folder)
    assert result is not None and result["computed"]["processes"] == 2


@pytest.mark.slow
def test_what_is_kept_of_frozen_blocks_serves_several_processes_and_parts_do_without(runs: Path) -> None:
    for how, expected in (("two", True), ("parts", False)):
        result = record.read_result(folder_of(runs, how, "classify"))
        assert result is not None
        assert not result["computed"]["reuse_frozen"].startswith("off") == expected
    assert result["computed"]["reuse_frozen"] == "off: compute.shard=true"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["two", "parts"])
def test_one_process_loads_what_several_have_saved(runs: Path, how: str) -> None:
    for name in (WEIGHTS, CHECKPOINT):
        ours, theirs = (folder_of(runs, way, "pretrain") / name for way in (how, "one"))
        config: Any = compose.compose(overrides("pretrain", "one"))
        models = [families.make(config.model) for _ in (ours, theirs)]
        for model, path in zip(models, (ours, theirs), strict=True):
            load_checkpoint(model, path)
        for own, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(own, other, atol=2e-5, rtol=0)
    both = [torch.load(folder_of(runs, way, "pretrain") / CHECKPOINT, weights_only=True) for way in (how, "one")]
    ours, theirs = (state["optimizer_state_dict"] for state in both)
    assert ours["state"].keys() == theirs["state"].keys() and ours["param_groups"] == theirs["param_groups"]
    for number, state in ours["state"].items():
        for key, value in state.items():
            torch.testing.assert_close(value, theirs["state"][number][key], atol=1e-5, rtol=1e-3)
    classifier = trained.load(folder_of(runs, how, "classify"))
    assert classifier.metrics["test_accuracy"] == pytest.approx(
        trained.load(folder_of(runs, "one", "classify")).metrics["test_accuracy"]
    )


def assert_taken_up(folder: Path) -> None:
    """The state that the first attempt kept is gone from there: the second one went on from it."""
    [before] = (folder / "previous").iterdir()
    assert (before / STATE).parent.is_dir() and not (before / STATE).exists()


@pytest.mark.slow
def test_a_run_that_one_process_began_goes_on_in_two(runs: Path) -> None:
    folder = folder_of(runs, "went_on", "pretrain")
    assert_taken_up(folder)
    assert_equal(folder, folder_of(runs, "one", "pretrain"))


@pytest.mark.slow
def test_a_failure_in_one_process_ends_all_with_a_record_and_the_run_goes_on_in_one(runs: Path) -> None:
    folder = folder_of(runs, "failed", "pretrain")
    [before] = (folder / "previous").iterdir()
    result = record.read_result(before)
    assert result is not None and result["status"] == "failed"
    assert result["error"] == "RuntimeError: process 1 failed: ValueError: made to fail"
    assert_taken_up(folder)
    assert_equal(folder, folder_of(runs, "one", "pretrain"))


@pytest.mark.slow
def test_only_the_first_process_writes(runs: Path) -> None:
    for task in LINES:
        ours, theirs = (folder_of(runs, how, task) for how in ("two", "one"))
        names = [sorted(str(path.relative_to(at)) for path in at.rglob("*")) for at in (ours, theirs)]
        assert names[0] == names[1]


@pytest.mark.slow
def test_a_finished_run_is_not_repeated_and_told_once(runs: Path) -> None:
    said = (runs / "said").read_text()
    where = folder_of(runs, "two", "classify").relative_to(runs)
    assert said.count(f": {where} ") == 2  # done, and already done
    assert said.count(f"already done (force=true repeats it): {where} ") == 1


@pytest.mark.slow
def test_the_command_works_as_typed(runs: Path) -> None:
    done = torchrun("-m", "scratchlab", *overrides("classify", "typed"), cwd=runs)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 0: train loss") == 1
    assert_equal(folder_of(runs, "typed", "classify"), folder_of(runs, "one", "classify"))


def killed_in_training(number: int, words: list[str], cwd: Path) -> tuple[int, str]:
    """Kill one of two processes once a few batches are learned; the exit code of the command, and what it said."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (cwd / "said").open("w") as said:
        command = subprocess.Popen([*TORCHRUN, "-m", "scratchlab", *words], cwd=cwd, env=environment, stderr=said)
        end = time.monotonic() + 200
        while not any(len(path.read_text().splitlines()) > 12 for path in cwd.glob("outputs/*/*/history.jsonl")):
            assert command.poll() is None and time.monotonic() < end, (cwd / "said").read_text()
            time.sleep(0.01)
        members = psutil.Process(command.pid).children()
        [victim] = [one for one in members if one.environ().get("RANK") == str(number)]
        victim.kill()
        return command.wait(200), (cwd / "said").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # three runs, each by two processes that load torch
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_may_be_killed_and_the_same_command_goes_on_to_the_same_bits(number: int, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(" ".join(f"{n * n % 97} coats" for n in range(900)))
    words = [*LINES["pretrain"], *TINY, "train.epochs=4", "checkpoint_minutes=1e-9"]
    code, said = killed_in_training(number, words, tmp_path)
    assert code != 0
    [folder] = tmp_path.glob("outputs/pretrain/*")
    # who keeps the record and is killed leaves no word
    assert read_run(folder).status == ("unfinished" if number == 0 else "interrupted"), said
    again = torchrun("-m", "scratchlab", *words, cwd=tmp_path)
    assert again.returncode == 0 and "was stopped in training: going on after batch" in again.stderr, again.stderr
    whole = torchrun("-m", "scratchlab", *words, "out=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    [undisturbed] = tmp_path.glob("whole/pretrain/*")
    assert record.read_history(folder) == record.read_history(undisturbed)
    ours, theirs = record.read_result(folder), record.read_result(undisturbed)
    assert ours is not None and theirs is not None
    metrics = [{k: v for k, v in one["metrics"].items() if k not in TIMING} for one in (ours, theirs)]
    assert metrics[0] == metrics[1] and ours["hashes"] == theirs["hashes"]
    assert (folder / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", *LINES["classify"], "seed=1,2"], "a sweep under torchrun: its 2 processes do one run together"),
        (["task=tokenize", "text=a"], "task=tokenize under torchrun: 2 processes divide a training"),
        ([*LINES["classify"], "train.batch_size=1"], "train.batch_size=1: 2 processes divide every batch"),
    ],
)
def test_what_several_processes_cannot_do_is_told_once(words: list[str], said: str, tmp_path: Path) -> None:
    done = torchrun("-m", "scratchlab", *words, *(TINY if "task=tokenize" not in words else []), cwd=tmp_path)
    assert done.returncode != 0 and done.stderr.count(f"error: {said}") == 1
    assert not (tmp_path / "outputs").exists()


def test_one_process_alone_holds_no_parts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="torchrun --nproc-per-node=2"):
        execute.run(compose.compose(overrides("pretrain", str(tmp_path), "compute.shard=true", "data.path=none.txt")))


@pytest.mark.cuda
def test_two_gpus_have_the_losses_of_one(tmp_path: Path, runs: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("fewer than two NVIDIA GPUs")
    for how, more in (("gpu_two", ()), ("gpu_parts", ("compute.shard=true",))):
        for task in ("classify", "instruct"):
            alone, divided = (overrides(task, out, "compute.device=cuda") for out in ("gpu_one", how))
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(runs)
                execute.run(compose.compose(alone))
            done = torchrun("-m", "scratchlab", *divided, *more, cwd=runs)
            assert done.returncode == 0, done.stderr
            ours, theirs = (record.read_history(folder_of(runs, out, task)) for out in (how, "gpu_one"))
            for line, other in zip(ours, theirs, strict=True):
                assert line == pytest.approx(other, abs=1e-4, nan_ok=True)
                assert not any(math.isnan(value) for value in line.values())
