"""Jobs: what a command line means, and how a sweep ends, whoever ran its jobs and however they went."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import GENERATED, TINY, command
from synthetic import write_run

import scratchlab
from scratchlab.__main__ import run
from scratchlab.book import claims
from scratchlab.book.experiments import Experiment, read_all
from scratchlab.cli.sweep_folder import Entry
from scratchlab.evidence.missing import missing_runs
from scratchlab.evidence.runs import read_run
from scratchlab.launch import jobs
from scratchlab.runs import record
from scratchlab.runs.registry import TASKS
from scratchlab.tasks.ablate import Ablate
from scratchlab.tasks.reproduce import Reproduce

CLASSIFY = ["task=classify", *TINY, *GENERATED]
PLUGINS = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
LAUNCHERS = [
    pytest.param("basic"),
    pytest.param("apart", marks=pytest.mark.slow),
    pytest.param(
        "joblib",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None,
            reason="hydra-joblib-launcher is not installed",
        ),
    ),
]
"""Where jobs run: here, in processes that tell nothing back, and in those of joblib."""


def sweep(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    plugins = PLUGINS if "hydra/launcher=apart" in words else {}
    return command("-m", *words, cwd=cwd, COLUMNS="200", **plugins, **environment)


def statuses(out: Path) -> list[str]:
    results = [record.read_result(folder) for folder in record.folders(out)]
    return sorted(result["status"] for result in results if result)


def test_what_is_typed_is_a_choice_unless_it_says_which_run_it_is_or_how_it_is_kept() -> None:
    words = ["experiment=ch07_1_phi3", "prompt=phi3", "mask_instruction=true", "train.lr=5e-4", "start_context='a, b'"]
    words += ["seed=3", "out=x", "name=y", "tracking=none", "compute.threads=1", "force=true", "hydra/launcher=basic"]
    assert jobs.choices(words, TASKS["instruct"].schema()) == {
        "prompt": "phi3",
        "mask_instruction": "true",
        "train.lr": "0.0005",
        "start_context": "a, b",
    }


def test_a_sweep_is_expanded_in_the_order_in_which_hydra_starts_its_jobs() -> None:
    found = jobs.split([*CLASSIFY, "position=first,last", "seed=range(1,3)", "train.lr=choice(0.1)"])
    assert [words[-3:] for words in found] == [
        (f"position={position}", f"seed={seed}", "train.lr=0.1") for position in ("first", "last") for seed in (1, 2)
    ]


def test_a_sweep_that_an_experiment_declares_is_expanded_and_what_is_typed_goes_before() -> None:
    found = jobs.expand(["experiment=quickstart"])
    assert [(job.config.seed, job.choices) for job in found] == [
        (seed, {"position": position}) for position in ("first", "last_real", "mean") for seed in (123, 124)
    ]
    assert len({job.folder for job in found}) == 6
    assert len(jobs.expand(["experiment=quickstart", "seed=5"])) == 3


def test_experiments_are_swept_by_glob() -> None:
    found = jobs.expand(["experiment=glob(ch06_row0*_last*)", "task=classify", "seed=7"])
    assert [job.config.name for job in found] == ["ch06_row03_last_layer", "ch06_row04_last_two_blocks"]
    assert all(job.config.seed == 7 and job.folder.parent.name == job.config.name for job in found)


def test_a_mistake_in_the_last_job_is_raised_before_the_first_one_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train.epochs=-1"):
        jobs.expand([*CLASSIFY, f"out={tmp_path}", "train.epochs=1,-1"])
    assert not list(tmp_path.iterdir())


def test_the_state_of_a_job_is_what_its_record_says(tmp_path: Path) -> None:
    job = jobs.job([*CLASSIFY, f"out={tmp_path}"])
    assert job.state == "new"
    job.folder.mkdir(parents=True)
    assert job.state == "new", "a folder with nothing but a lock is no run"
    (job.folder / record.CONFIG).write_text("name: classify\nseed: 123\n")
    assert job.state == "unfinished"
    for status in ("failed", "interrupted", "done"):
        (job.folder / record.RESULT).write_text(json.dumps({"status": status, "seed": 123, "metrics": {}}))
        assert job.state == status
    (job.folder / record.RESULT).write_text('{"status"')
    assert job.state == "unreadable"


def test_a_list_of_jobs_goes_on_after_one_that_fails_and_names_it(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 1, 0.9)
    words = [["task=compare", f"out={tmp_path}", f"select={name}"] for name in ("a", "nothing", "*a*")]
    failed = jobs.run_all([jobs.job(line) for line in words])
    assert [job.overrides for job in failed] == [tuple(words[1])]
    assert failed[0].command == f"scratchlab task=compare out={tmp_path} select=nothing"
    assert statuses(tmp_path) == ["done", "done", "done", "failed"], "one of them is what was compared"


def test_what_an_experiment_goes_on_from_comes_first_and_a_value_that_looks_like_a_name_does_not() -> None:
    files = read_all()
    files["alike"] = Experiment(
        "alike",
        Path("alike.yaml"),
        {
            "defaults": ["override /task: pretrain", {"override /task": "pretrain"}],
            "start_context": "ch02_2_stride_2",
            "claims": [{"metric": "x", "value": 1, "source": "made up"}],
        },
    )
    stated = claims.of([files["ch05_4_continue"], files["alike"]])
    found = [item.experiment.name for item in missing_runs(stated, {}, files, [])]
    assert found == ["ch05_main", "ch05_4_continue", "alike"]


def test_a_record_keeps_the_choices_that_were_typed(tmp_path: Path) -> None:
    words = [*CLASSIFY, f"out={tmp_path}", "seed=5", "position=first"]
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    job = jobs.job(words)
    assert job.state == "done"
    assert read_run(job.folder).choices == job.choices
    assert job.choices["position"] == "first" and job.choices["data"] == "messages" and "seed" not in job.choices
    assert scratchlab.read(tmp_path)["choices"][0] == job.choices


def test_a_run_made_from_python_keeps_the_choices_it_is_given_or_none(tmp_path: Path) -> None:
    write_run(tmp_path, "a", 1, 0.9)
    job = jobs.job(["task=compare", f"out={tmp_path}"])
    for choices in (None, {"select": "*"}):
        assert run(job.config, choices=choices)["choices"] == (choices or {})


@pytest.mark.vocabulary
def test_an_ablation_tells_the_arm_that_failed_and_compares_the_others(tmp_path: Path) -> None:
    def ablation(factors: str) -> Ablate:
        shared = {"of": "quickstart", "overrides": " ".join([*TINY, *GENERATED]), "seeds": 1, "control": False}
        return Ablate(name="ablate", out=str(tmp_path), factors=factors, **shared)

    with pytest.raises(ValueError, match="train.epochs=0"):
        run(ablation("position=first,train.epochs=0"))
    assert not list(tmp_path.glob("quickstart")), "a mistake in the last arm is met before the first one runs"
    metrics = run(ablation("model.context_length=8,position=first"))["metrics"]
    assert (metrics["arms"], metrics["runs"]) == (2, 2)
    (failed,) = metrics["failed"]
    assert failed.startswith("scratchlab experiment=quickstart") and " model.context_length=8 seed=1" in failed


@pytest.mark.vocabulary
def test_the_missing_run_of_a_claim_is_made_and_then_judged(tmp_path: Path) -> None:
    config = Reproduce(name="reproduce", out=str(tmp_path), select="chA_3_parameters", run_missing=True)
    assert run(config)["metrics"]["NOT_RUN"] == 0
    (folder,) = record.folders(tmp_path, "chA_3_parameters")
    assert read_run(folder).done


@pytest.mark.vocabulary
@pytest.mark.parametrize(
    "launcher", ["basic", *(pytest.param(*one.values, marks=[*one.marks, pytest.mark.slow]) for one in LAUNCHERS[1:])]
)
def test_every_failed_job_is_told_and_the_others_are_tabled(launcher: str, tmp_path: Path) -> None:
    words = [*CLASSIFY, f"hydra/launcher={launcher}", "model.context_length=64,8,72,9"]
    words += ["hydra.sweeper.max_batch_size=2"]  # a failure does not end the sweep with its batch either
    done = sweep(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert statuses(tmp_path / "outputs") == ["done", "done", "failed", "failed"]
    told = [line for line in done.stderr.splitlines() if line.startswith("failed: job")]
    assert [line.split(":")[1].split()[1] for line in told] == ["1", "3"]
    assert " model.context_length=8 " in told[0] and " model.context_length=9 " in told[1]
    assert all("makes rows of" in line for line in told)
    assert "context_length=64 " in done.stdout and "context_length=72 " in done.stdout
    assert "2 of 4 jobs are done" in done.stderr
    logs = [(folder / record.LOG).read_text() for folder in record.folders(tmp_path / "outputs")]
    assert done.stderr.count("epoch 1: train accuracy") == sum("epoch 1: train accuracy" in text for text in logs) == 2


@pytest.mark.vocabulary
def test_a_job_that_is_lost_hides_no_other(tmp_path: Path) -> None:
    done = sweep(*CLASSIFY, "hydra/launcher=apart", "seed=1,2,3", cwd=tmp_path, LOST="seed=1")
    assert done.returncode == 1
    assert statuses(tmp_path / "outputs") == ["done", "done"]
    assert "not started: job 0" in done.stderr and "a job was lost" in done.stderr
    assert "mean over seeds" in done.stdout and "2,3" in done.stdout


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_ends_in_the_exit_code_that_one_of_its_runs_asks_for(launcher: str, tmp_path: Path) -> None:
    claim = [{"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}]
    for seed in (123, 124, 125, 126):
        write_run(tmp_path / "outputs", "good", seed, 0.95, claims=claim)
        write_run(tmp_path / "outputs", "bad", seed, 0.8, claims=claim)
    words = ["task=reproduce", f"hydra/launcher={launcher}"]
    good = sweep(*words, "select=good", "claim=*score,*", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    both = sweep(*words, "select=bad,good", cwd=tmp_path)
    assert both.returncode == 1 and "failed" not in both.stderr, "every job is done, and what one found is bad news"
    written = tmp_path.glob("outputs/.sweeps/*/scratchlab_job_*.json")
    assert sorted(json.loads(path.read_text())["exit_code"] for path in written) == [0, 0, 0, 1]


def test_a_sweep_has_one_folder_of_its_own_whatever_its_jobs_set_and_it_may_be_named(tmp_path: Path) -> None:
    for out in ("a", "b"):
        write_run(tmp_path / out, "run", 1, 0.9)
    named = "hydra.sweep.dir='one\\'s own, folder'"
    for outs in ("a,b", "b"):
        done = sweep("task=compare", f"out={outs}", "hydra/launcher=apart", named, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = [path.name for path in (tmp_path / "one's own, folder").glob("scratchlab_job_*")]
        assert len(found) == len(outs.split(",")), "what another sweep left there is gone"
    assert not list(tmp_path.glob("*/.sweeps"))
    assert sweep("task=compare", "out=a,b", "hydra/launcher=apart", cwd=tmp_path).returncode == 0
    (folder,) = tmp_path.glob("*/.sweeps/*")
    assert sorted(path.name for path in folder.glob("scratchlab_job_*")) == [
        "scratchlab_job_0.json",
        "scratchlab_job_1.json",
    ]


@pytest.mark.vocabulary
def test_after_ctrl_c_what_is_done_is_tabled_and_what_is_not_is_told(tmp_path: Path) -> None:
    words = ["-m", *CLASSIFY, "tune=all", "train.epochs=1,400,2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scratchlab", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # where tests run in the background, Ctrl-C is ignored by them and by all they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    second = jobs.job([*CLASSIFY, "tune=all", "train.epochs=400", f"out={tmp_path / 'outputs'}"]).folder
    deadline = time.monotonic() + 200
    while not (second / record.HISTORY).is_file() or (second / record.HISTORY).stat().st_size < 300:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert statuses(tmp_path / "outputs") == ["done", "interrupted"]
    assert "mean over seeds" in stdout and "records:" in stdout
    assert "interrupted: job 1 (" in stderr and "not started: job 2 (" in stderr and "1 of 3 jobs are done" in stderr


def test_a_job_whose_process_was_killed_is_not_done(tmp_path: Path) -> None:
    entry = Entry(0, ["task=classify"], folder=str(tmp_path))
    (tmp_path / record.CONFIG).write_text("name: classify\n")
    assert entry.state() == ("unfinished", "its process ended without a word")
    (tmp_path / record.RESULT).write_text('{"status": "failed", "seed": 1, "error": "ValueError: why", "metrics": {}}')
    assert entry.state() == ("failed", "ValueError: why")
    entry.error = "another process is writing it"
    assert entry.state() == ("failed", "another process is writing it")


@pytest.mark.vocabulary
def test_the_jobs_of_a_sweep_are_listed_and_none_is_run(tmp_path: Path) -> None:
    words = [*CLASSIFY, "seed=1,2", "train.ignore_index=-100,50256"]
    listed = sweep(*words, "--cfg", "job", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert not list(tmp_path.iterdir()), "nothing is written"
    *lines, total = listed.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[str(number), "new"] for number in range(4)]
    assert lines[3].endswith("seed=2 train.ignore_index=50256") and " classify/" in lines[3]
    assert total == "4 jobs, 2 different runs: 2 new", "an override without effect is the same run"
    assert command(*CLASSIFY, "seed=2", cwd=tmp_path).returncode == 0
    again = sweep(*words, "--cfg", "job", cwd=tmp_path)
    assert again.stdout.splitlines()[-1] == "4 jobs, 2 different runs: 1 new, 1 done"


@pytest.mark.parametrize("listing", [["--cfg", "job"], []], ids=["listed", "run"])
def test_a_mistake_in_a_sweep_is_told_like_that_of_a_run_and_nothing_runs(listing: list[str], tmp_path: Path) -> None:
    one = sweep(*CLASSIFY, "seed=1,2", "position=first,frist", *listing, cwd=tmp_path)
    assert one.returncode == 1 and "Traceback" not in one.stderr
    assert one.stderr.count("position takes first, last, last_real, mean; nearest: first") == 2
    assert "job 1 (" in one.stderr and "job 3 (" in one.stderr
    every = sweep(*CLASSIFY, "seed=1,2", "train.epoch=1", *listing, cwd=tmp_path)
    assert every.returncode == 1 and every.stderr.startswith("error: train.epoch=1: no key 'train.epoch'")
    assert not list(tmp_path.iterdir())


def test_only_the_jobs_of_a_sweep_can_be_listed(tmp_path: Path) -> None:
    other = sweep(*CLASSIFY, "seed=1,2", "--cfg", "hydra", cwd=tmp_path)
    assert other.returncode == 1 and "possible: --cfg job" in other.stderr
