"""Sweeps: what their words mean, what a plan says before anything runs, and what goes on when a job does not."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import kill_sweeps
import pytest
from conftest import TINY, command
from hydra.core.override_parser.overrides_parser import OverridesParser
from test_jobs import PLUGINS, statuses, sweep

from scratchlab.cli import live
from scratchlab.cli import sweep as sweeping
from scratchlab.cli.arguments import prepare
from scratchlab.cli.sweep_folder import Expected, Sweep
from scratchlab.launch import compose, expansion, jobs, many, plan
from scratchlab.launch.estimate import Estimates
from scratchlab.runs import record
from scratchlab.runs.config import Retry

JOBLIB = (
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None,
        reason="hydra-joblib-launcher is not installed",
    ),
)
SMALL = [
    *("task=classify", "data=messages", "data.size=100", "model.emb_dim=16", "model.n_layers=1"),
    *("model.context_length=64", "train.epochs=1", *TINY),
]
LONG = [*SMALL, "data.size=400", "train.batch_size=1"]
GRID = [
    *("task=pretrain", "train.decay=cosine", "train.clip_norm=1", "train.warmup=10,20,30", "train.batch_size=2,4,8,16"),
    *("train.weight_decay=0.1,0.01,0.0", "train.lr=1e-4,5e-4,1e-3,5e-3", "train.initial_lr=5e-5,1e-4"),
    *("train.min_lr=5e-5,1e-5,1e-4", "train.epochs=5,10,15,20,25"),
    *(f"model.drop_rate_{where}=tag(drop,choice(0.0,0.1,0.2))" for where in ("emb", "shortcut", "attn")),
]
"""The grid of ch05/05_bonus_hparam_tuning, whose one dropout rate is three keys here."""


def expand(*words: str, parts: Sequence[Sequence[str]] = (), **params: str) -> list[str]:
    found = expansion.expand(list(words), OverridesParser.create(), params, parts)
    return [" ".join(one) for one in found]


def test_lists_make_a_product_and_those_of_one_tag_go_together() -> None:
    assert expand("a=1,2", "x=0", "b=range(3,5)") == ["a=1 x=0 b=3", "a=1 x=0 b=4", "a=2 x=0 b=3", "a=2 x=0 b=4"]
    zipped = expand("a=tag(s,choice(1,2))", "c=7,8", "b=tag(s,choice(3,4))", "d=tag(t,choice(5,6))")
    assert zipped[:5] == ["a=1 c=7 b=3 d=5", "a=1 c=7 b=3 d=6", "a=1 c=8 b=3 d=5", "a=1 c=8 b=3 d=6", "a=2 c=7 b=4 d=5"]
    assert len(zipped) == 8
    with pytest.raises(ValueError, match="tag s: .* of one length, and a has 2, b has 3"):
        expand("a=tag(s,choice(1,2))", "b=tag(s,choice(3,4,5))")
    with pytest.raises(ValueError, match=r"a=tag\(s,t,choice\(1,2\)\): has 2 tags"):
        expand("a=tag(s,t,choice(1,2))")
    with pytest.raises(ValueError, match=r"a=interval\(0,1\): has no end"):
        expand("a=interval(0,1)")


def test_parts_follow_each_other_and_say_their_words_over_those_they_share() -> None:
    assert expand("seed=1,2", "b=0", parts=[[], ["a=5"], ["b=6,7", "seed=3"]], p="9") == [
        *("p=9 seed=1 b=0", "p=9 seed=2 b=0", "p=9 seed=1 b=0 a=5", "p=9 seed=2 b=0 a=5"),
        *("p=9 seed=3 b=6", "p=9 seed=3 b=7"),
    ]


def test_what_is_about_the_sweep_may_stand_anywhere_and_parts_keep_their_quotes() -> None:
    words = ["task=classify", "seed=1,2", "+", "start_context='it\\'s, a'", "+", "tune=all", "plan=true", "-m"]
    assert prepare(words) == [
        *("-m", "task=classify", "seed=1,2", "plan=true"),
        "hydra.sweeper.parts=[['start_context=\\'it\\\\\\'s, a\\''],['tune=all']]",
    ]
    (parts,) = OverridesParser.create().parse_overrides(prepare(words)[-1:])
    assert parts.value() == [["start_context='it\\'s, a'"], ["tune=all"]]
    with pytest.raises(ValueError, match="--config-dir: stands after a `\\+`"):
        prepare(["-m", "a=1", "+", "b=2", "--config-dir", "x"])


@pytest.mark.parametrize(
    "words",
    [
        [*SMALL, "seed=1,2", "data.pad_to=none,64", "train.batch_size=1,8"],
        pytest.param([*SMALL, "tune=all,lora", "tracking.tags=[a],[b]", "train.lr=1e-3,1"], marks=pytest.mark.slow),
        pytest.param(["task=instruct,pretrain", "seed=1,2"], marks=pytest.mark.slow),
        ["experiment=quickstart"],
        ["task=tokenize", "text=a,'b, c'"],
        [*SMALL, "+train.epochs=1,2"],
        [*SMALL, "train.epochs=${seed}", "seed=0,1,-1,2"],
        [*SMALL, "train.epochs=1,x", "position=first,frist"],
    ],
)
def test_jobs_composed_together_are_those_composed_one_by_one(words: list[str]) -> None:
    splits = jobs.split(words)
    with jobs.at_hand():
        for quick, split in zip(many.compose_all(splits), splits, strict=True):
            try:
                wanted = compose.by_hydra(list(split))
            except Exception as error:
                assert isinstance(quick, Exception) and (type(quick), str(quick)) == (type(error), str(error))
                continue
            assert isinstance(quick, jobs.Job) and quick.config == wanted and quick == jobs.job(split)


def test_hydra_composes_once_what_jobs_share_and_nothing_of_what_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[list[str]] = []
    untyped = compose.untyped

    def counted(words: list[str]) -> object:
        composed.append(words)
        return untyped(words)

    monkeypatch.setattr(compose, "untyped", counted)
    table = ["task=classify", "experiment=glob(ch06_*)", "seed=123,124,125"]
    found = many.compose_all(jobs.split(table))
    names = {one.config.name for one in found if isinstance(one, jobs.Job)}
    assert len(found) == 3 * len(names) > 50 and composed == []
    beyond = [*SMALL, "launch=parallel", "seed=1,2,3"]
    assert len(many.compose_all(jobs.split(beyond))) == 3 and len(composed) == 1


@pytest.mark.vocabulary
def test_points_of_a_grid_that_are_copies_of_others_are_found_where_training_ends_in_its_warm_up(
    spam_file: Path,
) -> None:
    few = [word.replace("0.1,0.01,0.0", "0.1").replace("choice(0.0,0.1,0.2)", "choice(0.1)") for word in GRID]
    found = [one for one in many.compose_all(jobs.split(few)) if isinstance(one, jobs.Job)]
    planned = plan.make(found)
    assert len(planned) == 12_960 // 9
    # by hand: the training part of the text makes 18 windows, so an epoch has 9, 4, 2 or 1 batches
    assert len({(one.config.train.batch_size) for one in found}) == 4  # type: ignore[attr-defined]
    ends = sum(
        5 * rest <= warmup
        for warmup in (10, 20, 30)
        for rest in (n * batches for batches in (9, 4, 2, 1) for n in range(1, 6))
    )
    assert ends == 19
    copies = [one for one in planned if one.copy_of is not None]
    same_min = ends * 4 * 2 * 2  # three values of min_lr are one, for four rates and two initial ones
    level = 10  # where the rate does not climb either, the length of the warm-up is without effect
    assert len(copies) == same_min + level
    assert all("training ends after" in one.reason and "train.min_lr" in one.reason for one in copies[:3])


def write(job: jobs.Job, **result: object) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / record.CONFIG).write_text(f"name: classify\nseed: {job.config.seed}\n")
    if result:
        whole = {"name": "classify", "task": "classify", "fingerprint": job.folder.name, "metrics": {}}
        whole |= {"seed": job.config.seed, "hashes": job.config.inputs(), "started": "2026-01-01T00:00:00+00:00"}
        (job.folder / record.RESULT).write_text(json.dumps(whole | result))


def test_a_plan_runs_what_is_new_or_was_stopped_and_what_failed_only_on_request(tmp_path: Path) -> None:
    words = [*SMALL, f"out={tmp_path}", "seed=0,1,2,3,4,5", "train.ignore_index=-100,7"]
    found = [one for one in many.compose_all(jobs.split(words)) if isinstance(one, jobs.Job)]
    done, failed, oom, stopped, killed = (found[number] for number in (0, 2, 4, 6, 8))
    write(done, status="done")
    write(failed, status="failed", error="ValueError: no")
    write(oom, status="failed", error="OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    write(stopped, status="interrupted", error="SIGTERM")
    write(killed)
    planned = plan.make(found)
    assert [(one.state, one.runs) for one in planned[::2]] == [
        *(("done", False), ("failed", False), ("out of memory", False)),
        *(("interrupted", True), ("interrupted", True), ("new", True)),
    ]
    assert all(one.copy_of == one.number - 1 and not one.runs for one in planned[1::2])
    assert planned[1].reason == "train.ignore_index: no label has the value 7, so it ignores no example"
    ends = [sweeping.entry_of(planned[number]).state() for number in (0, 2, 4, 6)]
    assert ends[0] == ("done", "") and ends[1] == ("failed", "ValueError: no (before; see retry)")
    assert ends[2][0] == "failed" and ends[3][0] == "not started"
    again = {retry: [one.number for one in plan.make(found, retry) if one.runs] for retry in Retry}
    assert again[Retry.failed] == [2, 6, 8, 10] and again[Retry.oom] == [4, 6, 8, 10]
    assert again[Retry.all] == [2, 4, 6, 8, 10] and again[Retry.none] == [6, 8, 10]
    assert plan.summary(planned) == (
        "12 jobs, 6 different runs: 1 done, 1 failed, 1 out of memory, 2 interrupted, 1 new; 6 copies"
    )
    told = "\n".join(plan.left_out(planned))
    assert "6 are copies" in told and "failed before: job 2: ValueError: no" in told and "retry=oom" in told
    forced = [one for one in many.compose_all(jobs.split([*words, "force=true"])) if isinstance(one, jobs.Job)]
    assert [one.runs for one in plan.make(forced)] == [True, False] * 6


def test_a_run_that_another_process_is_doing_is_left_to_it(tmp_path: Path) -> None:
    (job,) = (jobs.job([*SMALL, f"out={tmp_path}"]),)
    write(job)
    code = "import sys, time, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
    words = [sys.executable, "-c", f"{code} print(1, flush=True); time.sleep(60)", str(job.folder / ".lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        (planned,) = plan.make([job])
        process.kill()
    assert (planned.state, planned.runs) == ("running", False)
    (planned,) = plan.make([job])
    assert (planned.state, planned.runs) == ("interrupted", True), "a lock does not outlive who held it"


def test_an_estimate_is_that_of_finished_runs_of_the_kind_and_grows_with_the_epochs(tmp_path: Path) -> None:
    words = [*SMALL, f"out={tmp_path}"]
    for seed, seconds in ((1, 10.0), (2, 14.0), (3, 60.0)):
        job = jobs.job([*words, f"seed={seed}"])
        metrics = {"train_seconds": seconds - 2, "peak_memory_bytes": seed * 1000}
        write(job, status="done", seconds=seconds, metrics=metrics, device="cpu")
        record.write_atomically(job.folder / record.CONFIG, _yaml(job))
    asked = [jobs.job([*words, *more]) for more in (["seed=9", "train.lr=1e-3"], ["train.epochs=3"], ["tune=all"])]
    found = [Estimates(asked).of(job) for job in asked]
    assert [one.seconds for one in found] == [14.0, 14.0 + 2 * 12.0, None]
    assert [one.memory for one in found] == [3000, 3000, None]


def _yaml(job: jobs.Job) -> str:
    import yaml

    from scratchlab.runs.identity import plain

    return yaml.safe_dump(plain(job.config))


def test_a_plan_is_shown_and_nothing_is_run(tmp_path: Path) -> None:
    shown = sweep(*SMALL, "seed=1,2", "+", "position=first,last", "+", "plan=true", "train.epochs=2", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert not list(tmp_path.iterdir()), "nothing is written"
    lines = shown.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:7]] == [[str(number), "new", "?"] for number in range(6)]
    assert lines[1].endswith("train.epochs=1 seed=1 position=first") and lines[5].endswith("train.epochs=2 seed=1")
    assert lines[7] == "6 jobs, 6 different runs: 6 new" and lines[8].startswith("to run: 6; for how long is not known")
    one = command(*SMALL, "plan=true", cwd=tmp_path)
    assert "1 jobs, 1 different runs: 1 new" in one.stdout and not list(tmp_path.iterdir())
    arms = command("task=ablate", "of=quickstart", "factors=position=first", "seeds=1-2", "plan=true", cwd=tmp_path)
    assert "6 jobs, 6 different runs: 6 new" in arms.stdout and not list(tmp_path.iterdir()), arms.stderr
    lacking = command("task=reproduce", "select=chA_*", "plan=true", cwd=tmp_path)
    assert "chA_3_parameters/" in lacking.stdout and not list(tmp_path.iterdir()), lacking.stderr


@pytest.mark.vocabulary
def test_a_sweep_given_again_does_what_is_missing_and_what_failed_only_on_request(tmp_path: Path) -> None:
    words = [*SMALL, "model.context_length=64,8"]  # messages are longer than 8
    assert sweep(*words, cwd=tmp_path).returncode == 1 and statuses(tmp_path / "outputs") == ["done", "failed"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"outputs/*/*/{record.RESULT}")}
    more = [*words, "position=last,first"]
    shown = sweep(*more, "plan=true", cwd=tmp_path).stdout
    assert "1 done, 2 new, 1 failed" in shown and "failed before: job 2: " in shown and "retry=failed" in shown
    again = sweep(*more, "retry=failed", "fail_fast=true", cwd=tmp_path)
    assert again.returncode == 1 and statuses(tmp_path / "outputs") == ["done", "done", "failed"]
    assert "not started: job 3 (" in again.stderr and "job 2 failed, and fail_fast=true" in again.stderr
    assert sum(path.stat().st_mtime_ns == then for path, then in before.items()) == 1, "what had failed is done again"


def wait_for(what: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 200
    while not what():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def started(*words: str, cwd: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "scratchlab", "-m", *words],
        cwd=cwd,
        env=os.environ | PLUGINS,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # where tests run in the background, Ctrl-C is ignored by them and by all they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def under_way(cwd: Path, *, lines: int = 20) -> list[Path]:
    """Runs that train just now."""
    found = [path.parent for path in cwd.glob(f"outputs/*/*/{record.HISTORY}")]
    found = [path for path in found if not (path / record.RESULT).is_file()]
    return [path for path in found if len(record.read_history(path)) > lines]


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=JOBLIB)])
def test_a_sweep_that_is_asked_to_stop_keeps_what_its_jobs_have_done(launcher: str, tmp_path: Path) -> None:
    stopped(launcher, tmp_path, lambda process: process.send_signal(signal.SIGTERM), 143)  # to the sweep alone


@pytest.mark.vocabulary
@pytest.mark.parametrize(
    "launcher", [pytest.param("joblib", marks=JOBLIB), pytest.param("apart", marks=pytest.mark.slow)]
)
def test_ctrl_c_reaches_jobs_in_other_processes_and_they_end_with_their_step(launcher: str, tmp_path: Path) -> None:
    stopped(launcher, tmp_path, lambda process: os.killpg(process.pid, signal.SIGINT), 130)  # as a terminal does


def stopped(launcher: str, tmp_path: Path, stop: Callable[["subprocess.Popen[str]"], None], code: int) -> None:
    """Stop a sweep whose jobs are training, and look at what it leaves."""
    jobs_at_once = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    words = [*LONG, "train.epochs=50", "seed=1,2,3", f"hydra/launcher={launcher}", *jobs_at_once]
    process = started(*words, cwd=tmp_path)
    at_once = {"basic": 1, "apart": 3, "joblib": 2}[launcher]
    wait_for(lambda: len(under_way(tmp_path)) == at_once, process)
    stop(process)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == code, stderr
    assert statuses(tmp_path / "outputs") == ["interrupted"] * at_once
    assert len(list(tmp_path.glob("outputs/*/*/checkpoint/training.pt"))) == at_once
    assert len(re.findall("^interrupted: job", stderr, re.M)) == at_once
    assert len(re.findall("^not started: job", stderr, re.M)) == 3 - at_once


@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", [pytest.param("joblib", marks=JOBLIB)])
def test_the_worker_of_a_job_may_be_killed_and_every_job_is_done(launcher: str, tmp_path: Path) -> None:
    process = started(*LONG, "seed=1,2,3,4", f"hydra/launcher={launcher}", "hydra.launcher.n_jobs=2", cwd=tmp_path)
    wait_for(lambda: under_way(tmp_path), process)
    (mark, *_) = tmp_path.glob("outputs/.sweeps/*/running_*")
    os.kill(int(mark.name.rpartition("_")[2]), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert statuses(tmp_path / "outputs") == ["done"] * 4 and "are started again" in stderr
    assert "mean over seeds" in stdout


@pytest.mark.vocabulary
def test_a_sweep_says_in_lines_where_it_stands(tmp_path: Path) -> None:
    done = sweep(*SMALL, "position=last,first", "seed=1,2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = re.findall(
        r"^(\d of 4): job \d \(position=\w+ seed=\d\); (arm \d of 2)(; about [\d.]+ s to go)?$", done.stderr, re.M
    )
    assert [(place, arm) for place, arm, _ in told] == [
        *(("1 of 4", "arm 1 of 2"), ("2 of 4", "arm 1 of 2")),
        *(("3 of 4", "arm 2 of 2"), ("4 of 4", "arm 2 of 2")),
    ]
    assert [bool(left) for *_, left in told] == [False, True, True, True], "the first job is the first of its kind"


def test_the_time_to_go_is_the_plans_until_jobs_have_ended_and_then_that_of_the_sweep() -> None:
    known = {number: Expected(1, 1, seconds) for number, seconds in enumerate([10.0, 20.0, 30.0, None])}
    assert live.remaining(known, [], [0, 1, 2, 3], [], 0.1) == 80.0, "what is not known counts as the mean"
    assert live.remaining(known, [0], [1, 2, 3], [], 30.0) == 210.0, "three times as slow as planned"
    assert live.remaining(known, [0], [1, 2, 3], [0], 30.0) == (70.0 + 5.0) / 2, "two at once, and none has ended"
    assert live.remaining(known, [0, 1], [2, 3], [1], 20.0) == (50.0 + 10.0) * 20.0 / (10.0 + 10.0)
    unknown = {number: Expected(1, 1, None) for number in range(3)}
    assert live.remaining(unknown, [], [0, 1, 2], [], 5.0) is None
    assert live.remaining(unknown, [0], [1, 2], [], 5.0) == 10.0


def test_the_jobs_that_other_processes_do_are_named(tmp_path: Path) -> None:
    here = Sweep(tmp_path / "sweep")
    here.begin(False)
    here.launches([4, 7, 9])
    here.expect({7: Expected(2, 3, 60.0)})
    read, write = os.pipe()
    if not (child := os.fork()):
        with here.is_running(4):
            os.write(write, b".")
            time.sleep(60)
        os._exit(0)
    try:
        os.read(read, 1)
        assert here.running() == {child: 4}
        said = live.line(here, 1, 7, "job 7 (seed=1)")
        assert said == "2 of 3: job 7 (seed=1); arm 2 of 3; also running: 4; about 75 s to go"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert here.running() == {}


@pytest.mark.slow
@pytest.mark.vocabulary
@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=JOBLIB)])
def test_a_sweep_that_was_killed_three_times_leaves_the_records_of_one_that_was_not(
    launcher: str, tmp_path: Path
) -> None:
    assert kill_sweeps.prove(launcher, seed=0, kills=3, folder=tmp_path) == []
