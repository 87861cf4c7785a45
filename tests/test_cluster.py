"""Sweeps on a real Slurm and a real Ray, which are brought up for it (`make cluster`)."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import kill_sweeps
import pytest
from cluster import ray_node, slurm
from conftest import command
from test_jobs import CLASSIFY, statuses, sweep
from test_sweeps import LONG, SMALL, started, under_way, wait_for

from scratchlab.cli import on_slurm
from scratchlab.runs import aside, record

QUICK = {
    "slurm": ["launch=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.poll_seconds=0.5"],
    "ray": ["launch=ray"],
}
SCHEDULERS = [pytest.param(name, marks=[pytest.mark.cluster, pytest.mark.timeout(900)]) for name in QUICK]
UPDATES = [*LONG, "train.epochs=4", "train.eval_every=50", "train.eval_batches=1", "checkpoint_minutes=60"]
"""A run of some seconds that keeps its state only when it is asked to stop."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], dict[str, str]]]:
    """Bring a scheduler up when a test first asks for it, and down after the last."""
    found: dict[str, dict[str, str]] = {}
    folders: dict[str, Path] = {}

    def asked(name: str) -> dict[str, str]:
        node = {"slurm": slurm, "ray": ray_node}[name]
        if name not in found:
            if reason := node.missing():
                pytest.skip(reason)
            folders[name] = tmp_path_factory.mktemp(name)
            found[name] = node.up(folders[name])
        return found[name]

    yield asked
    for name, folder in folders.items():
        {"slurm": slurm, "ray": ray_node}[name].down(folder)


@pytest.fixture
def launcher(request: pytest.FixtureRequest, up: Callable[[str], dict[str, str]]) -> Iterator[str]:
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        for key, value in up(name).items():
            patch.setenv(key, value)
        yield name


def told_by(process: "subprocess.Popen[str]") -> str:
    stdout, stderr = process.communicate(timeout=300)
    return f"{stdout}\n{stderr}"


def jobs_of_slurm(cwd: Path) -> list[str]:
    """Slurm's numbers of the jobs of the one sweep there."""
    (path,) = cwd.glob(f"outputs/.sweeps/*/{on_slurm.QUEUE}")
    return list(json.loads(path.read_text()))


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS, indirect=True)
def test_a_sweep_that_was_killed_three_times_leaves_the_records_of_one_that_was_not(
    launcher: str, tmp_path: Path
) -> None:
    assert kill_sweeps.prove(launcher, seed=int(os.environ.get("SEED", 0)), kills=3, folder=tmp_path) == []


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS, indirect=True)
def test_every_failed_job_is_told_and_the_others_are_tabled(launcher: str, tmp_path: Path) -> None:
    done = sweep(*CLASSIFY, "model.context_length=64,8,72", *QUICK[launcher], cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert statuses(tmp_path / "outputs") == ["done", "done", "failed"]
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("failed: job")]
    assert told.startswith("failed: job 1 (") and " model.context_length=8" in told and "makes rows of" in told
    assert "context_length=72 " in done.stdout and "2 of 3 jobs are done" in done.stderr
    assert "Traceback" not in done.stderr and "lost" not in done.stderr


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS, indirect=True)
def test_a_job_whose_process_is_killed_is_told_and_started_again_and_no_other_is(launcher: str, tmp_path: Path) -> None:
    process = started(*UPDATES, "seed=1,2,3", *QUICK[launcher], cwd=tmp_path)
    wait_for(lambda: under_way(tmp_path), process)
    victim = kill_sweeps.running(tmp_path)[0]
    os.kill(victim, signal.SIGKILL)
    told = told_by(process)
    assert process.returncode == 0, told
    assert f"{launcher.title()} lost 1 jobs" in told and "1 jobs that it did not end are started again" in told
    assert statuses(tmp_path / "outputs") == ["done"] * 3
    attempts = [len(aside.earlier(folder)) for folder in record.folders(tmp_path / "outputs")]
    assert sorted(attempts) == [0, 0, 1]


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS, indirect=True)
def test_a_sweep_that_is_asked_to_stop_ends_its_jobs_with_their_step_and_leaves_none_in_the_queue(
    launcher: str, tmp_path: Path
) -> None:
    process = started(*UPDATES, "seed=range(0,6)", "train.epochs=50", *QUICK[launcher], cwd=tmp_path)
    at_once = min(2, os.cpu_count() or 1)
    wait_for(lambda: len(under_way(tmp_path)) == at_once, process)
    process.send_signal(signal.SIGTERM)
    told = told_by(process)
    assert process.returncode == 143, told
    ended = statuses(tmp_path / "outputs")
    assert ended == ["interrupted"] * at_once
    assert len(list(tmp_path.glob("outputs/*/*/checkpoint/training.pt"))) == len(ended)
    assert len(re.findall("^interrupted: job", told, re.M)) == len(ended)
    assert len(re.findall("^not started: job", told, re.M)) == 6 - len(ended)
    if launcher == "slurm":
        queue = subprocess.run(["squeue", "--me", "--noheader"], capture_output=True, text=True, check=True).stdout
        assert all(" CG " in line for line in queue.splitlines()), queue


PREEMPTIONS = {
    "a signal before the end of its time": ["scancel", "--signal=USR2"],
    "requeue": ["scontrol", "requeue"],
}


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS[:1], indirect=True)
@pytest.mark.parametrize("how", PREEMPTIONS)
def test_a_job_that_is_preempted_is_interrupted_put_back_and_loses_no_step(
    launcher: str, how: str, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    assert command(*UPDATES, cwd=whole).returncode == 0
    process = started(*UPDATES, *QUICK[launcher], "hydra.launcher.timeout_min=60", cwd=cut)
    wait_for(lambda: under_way(cut), process)
    (job,) = jobs_of_slurm(cut)
    subprocess.run([*PREEMPTIONS[how], job], check=True)
    told = told_by(process)
    assert process.returncode == 0, told
    (folder,) = record.folders(cut / "outputs")
    (first,) = aside.earlier(folder)
    result, before = record.read_result(folder), record.read_result(first)
    assert result and before
    assert (before["status"], result["status"]) == ("interrupted", "done"), before["error"]
    assert before["error"] == ("SIGTERM" if how == "requeue" else "SIGUSR2")
    trained = sum("batch_loss" in line for line in record.read_history(first))
    going_on = re.search(r"going on after batch (\d+)", (folder / record.LOG).read_text())
    assert going_on and int(going_on[1]) == trained - 1, "batches count from 0, and none is trained on twice"
    print(f"{how}: {trained} batches were trained, and then: {going_on[0]}")
    (undisturbed,) = record.folders(whole / "outputs")
    assert (folder / record.HISTORY).read_bytes() == (undisturbed / record.HISTORY).read_bytes()
    assert kill_sweeps.content(cut) == kill_sweeps.content(whole)


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", SCHEDULERS, indirect=True)
def test_a_record_says_with_how_many_threads_a_job_computed(launcher: str, tmp_path: Path) -> None:
    two = {"slurm": "hydra.launcher.cpus_per_task=2", "ray": "hydra.launcher.remote.num_cpus=2"}[launcher]
    words = [word for word in SMALL if not word.startswith("compute.threads")]
    threads = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        done = sweep(*words, *QUICK[launcher], two, cwd=tmp_path)
    finally:
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
    assert done.returncode == 0, done.stderr
    (folder,) = record.folders(tmp_path / "outputs")
    result = record.read_result(folder)
    assert result and result["computed"]["threads"] == 2
