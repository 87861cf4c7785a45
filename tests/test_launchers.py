"""Launchers for clusters, as far as no cluster is needed: what they lack is told, and Slurm's queue is read right."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from scratchlab.cli import on_cluster, on_ray, on_slurm
from scratchlab.cli.sweep_folder import Sweep
from scratchlab.launch import compose, jobs

PRESETS = ("slurm", "ray")


def squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: str) -> Path:
    """Stand-ins for squeue, which gives one answer after the other (`!` is an error), and scancel, which is noted."""
    for number, answer in enumerate(answers):
        (folder / f"answer{number}").write_text(answer)
    programs = {
        "squeue": f'n=$(cat "{folder}/asked" 2>/dev/null || echo 0); echo $((n + 1)) > "{folder}/asked"\n'
        f'f="{folder}/answer$n"; grep -q "^!" "$f" && {{ echo "no controller" >&2; exit 1; }}; cat "$f"',
        "scancel": f'echo "$@" >> "{folder}/cancelled"',
    }
    for name, lines in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "cancelled"


def launcher(sweep: Path) -> Any:
    config = SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir=str(sweep))))
    return SimpleNamespace(config=config, settings={"poll_seconds": 0.01, "submitit_folder": f"{sweep}/.submitit/%j"})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_launcher_that_is_not_installed_is_told_in_one_line_with_what_to_install(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, check = {"slurm": ("submitit", on_slurm.check), "ray": ("ray", on_ray.check)}[preset]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        RuntimeError, match=rf"launch={preset}: {module} is not installed; possible: pip install"
    ) as told:
        check()
    assert f"'scratchlab[{preset}]'" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_composed_and_planned_where_its_launcher_is_not_installed(preset: str) -> None:
    found = jobs.expand(["experiment=quickstart", f"launch={preset}", "seed=1,2"])
    assert len(found) == 6 and all("launch" not in job.choices for job in found)
    hydra = compose.untyped([f"launch={preset}", "task=tokenize", "text=a"]).hydra
    assert hydra.launcher._target_.startswith("hydra_plugins.scratchlab_launchers.")
    assert hydra.mode.name == "MULTIRUN", "one run, too, is handed over"


def test_a_queue_is_asked_until_no_job_can_run_again_and_a_job_that_was_put_back_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        "7_0|RUNNING|None\n7_1|PENDING|Resources\n9|RUNNING|None\n",
        "!",
        "7_0|OUT_OF_MEMORY|None\n7_1|PENDING|BeginTime\n",
        "7_1|COMPLETING|None\n",
        "7_1|COMPLETED|None\n",
    ]
    squeue(tmp_path, monkeypatch, *answers)
    states = on_slurm._wait(launcher(tmp_path), {"7_0": [], "7_1": []})
    assert states == {"7_0": "OUT_OF_MEMORY", "7_1": "COMPLETED"}, "what Slurm has forgotten keeps its last state"
    assert on_slurm._last("RUNNING", None) == on_slurm.GONE


@pytest.mark.parametrize(("reason", "words"), [("SIGTERM", "7_0 7_1"), ("job 3 failed", "--state=PENDING 7_0 7_1")])
def test_a_sweep_that_stops_takes_its_jobs_from_the_queue_and_after_a_failure_lets_those_that_run_go_on(
    reason: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = "7_0|RUNNING|None\n7_1|PENDING|Priority\n"
    cancelled = squeue(tmp_path, monkeypatch, queued, queued, "7_0|COMPLETED|None\n7_1|CANCELLED|None\n")
    Sweep(tmp_path).stop(reason)
    on_slurm._wait(launcher(tmp_path), {"7_0": [], "7_1": []})
    assert cancelled.read_text().splitlines() == [words]


def test_jobs_that_wait_for_a_sweep_that_was_killed_are_taken_back_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {"7_0": ["seed=1"], "7_1": ["seed=2"], "7_2": ["seed=3"]}
    for name in ("now", "killed", "alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / on_slurm.QUEUE).write_text(json.dumps(listed))
    queued = "7_0|RUNNING|None\n7_1|PENDING|Priority\n7_2|PENDING|Priority\n"
    cancelled = squeue(tmp_path, monkeypatch, queued, queued)
    with FileLock(tmp_path / "alive" / on_slurm.WATCHED):
        on_slurm._take_back(tmp_path / "now", [["seed=1"], ["seed=2"]])
    assert cancelled.read_text().splitlines() == ["7_1"]


def test_many_lost_jobs_make_a_short_error() -> None:
    assert "lost 9 jobs: 0; 1; 2; 3; 4; and 4 more" in str(on_cluster.lost("Slurm", [str(n) for n in range(9)]))
