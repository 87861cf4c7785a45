"""Jobs of a sweep as one array of Slurm's, over submitit.

submitit would wait for the first job and stop at the first that is lost, and asks Slurm's accounting, which small
clusters do not have. Here the queue is asked, once for all jobs, until none of them is in it.
"""

import json
import logging
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn

from scratchlab.cli import on_cluster
from scratchlab.files import write_atomically

log = logging.getLogger("scratchlab")

SHARED = ("name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb")
"""Settings that submitit knows for every scheduler; the others are Slurm's own."""
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
OURS = ("submitit_folder", "max_num_timeout", "poll_seconds")
QUEUE, WATCHED = "slurm.json", "slurm.lock"
"""In the sweep's folder: which job of Slurm's has which overrides, and a lock of the process that waits for them."""
OVER = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"),
    *("PREEMPTED", "REVOKED"),
)
"""States of Slurm's after which a job does not run again."""
GONE = "gone from the queue"


def check() -> tuple[Any, Any]:
    """What is needed: submitit, and Hydra's plugin over it.

    Raises:
        RuntimeError: one of them, or Slurm, is not here.
    """
    submitit = on_cluster.needs("submitit", "slurm")
    plugin = on_cluster.needs("hydra_plugins.hydra_submitit_launcher.submitit_launcher", "slurm")
    if lacking := [name for name in COMMANDS if shutil.which(name) is None]:
        raise RuntimeError(
            f"launch=slurm: no {', '.join(lacking)} on this machine; possible: give the command where sbatch works, or "
            "launch=local or parallel"
        )
    return submitit, plugin


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Submit jobs and wait until all have left the queue, some after they were put back into it.

    Raises:
        RuntimeError: see `check`; or jobs were lost: names them with what Slurm said.
    """
    submitit, plugin = check()
    sweep = Path(launcher.config.hydra.sweep.dir)
    sweep.mkdir(parents=True, exist_ok=True)
    with FileLock(sweep / WATCHED):
        _take_back(sweep, [list(words) for words in job_overrides])
        found = _submit(submitit, plugin.SlurmLauncher, launcher, job_overrides, first)
        listed = {job.job_id: list(words) for job, words in zip(found, job_overrides, strict=True)}
        write_atomically(sweep / QUEUE, json.dumps(listed))
        log.info("Slurm has %d jobs as %s; they print into %s", len(found), _array(found), _folder(launcher))
        try:
            states = _wait(launcher, listed)
        except BaseException as stop:
            _cancel(list(listed))
            if isinstance(stop, KeyboardInterrupt):  # elsewhere they only now hear of it, and end with their step
                _wait(launcher, listed)
            raise
    return _results(launcher, found, states)


def _submit(submitit: Any, kind: Any, launcher: Any, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
    settings = launcher.settings
    inside = kind()
    inside.setup(hydra_context=launcher.context, task_function=launcher.function, config=launcher.config)
    executor = submitit.AutoExecutor(
        cluster="slurm", folder=settings["submitit_folder"], slurm_max_num_timeout=settings["max_num_timeout"]
    )
    given = {name: value for name, value in settings.items() if name not in OURS and value is not None}
    executor.update_parameters(**{name if name in SHARED else f"slurm_{name}": value for name, value in given.items()})
    numbers = range(first, first + len(job_overrides))
    jobs: list[Any] = executor.map_array(
        inside,
        [list(words) for words in job_overrides],
        ["hydra.sweep.dir"] * len(numbers),
        numbers,
        [str(number) for number in numbers],
        [Singleton.get_state()] * len(numbers),
    )
    return jobs


def _take_back(sweep: Path, wanted: list[list[str]]) -> None:
    """Take jobs out of the queue that wait there for a sweep whose own process was killed, where this one does them."""
    for path in sweep.parent.glob(f"*/{QUEUE}"):
        if path.parent == sweep:
            continue
        try:
            with FileLock(path.with_name(WATCHED)).acquire(timeout=0):
                listed = json.loads(path.read_text(encoding="utf-8"))
                same = [job for job, words in listed.items() if words in wanted]
                if waiting := [job for job, (state, _) in (_queue(same) or {}).items() if state == "PENDING"]:
                    log.info("%d jobs leave the queue, of a sweep that was killed: %s", len(waiting), path.parent)
                    _cancel(waiting)
        except Timeout:  # it is alive, and waits for them
            continue


def _wait(launcher: Any, listed: dict[str, list[str]]) -> dict[str, str]:
    """The last state of each job, by Slurm's number, when none is in the queue any more."""
    told = ""
    stopping = False
    states = dict.fromkeys(listed, "PENDING")
    while True:
        queue = _queue(list(listed))
        if queue is not None:
            states = {job: _last(states[job], queue.get(job)) for job in listed}
            left = [job for job, state in states.items() if state not in (*OVER, GONE)]
            if (now := _told(states, queue)) != told:
                told = now
                log.info("Slurm: %s", told)
            if not left:
                return states
            if (reason := on_cluster.stop_wanted(launcher)) and not stopping:
                stopping = True
                _cancel(left, waiting_only=not on_cluster.is_signal(reason))
        time.sleep(launcher.settings["poll_seconds"])


def _last(before: str, now: tuple[str, str] | None) -> str:
    if now is not None:
        return now[0]
    return before if before in OVER else GONE


def _told(states: dict[str, str], queue: dict[str, tuple[str, str]]) -> str:
    counts = Counter(state.lower().replace("_", " ") for state in states.values())
    reasons = {reason for state, reason in queue.values() if state == "PENDING"} - {"None", "Resources", "Priority"}
    said = ", ".join(f"{count} {state}" for state, count in counts.items())
    return said + (f" ({', '.join(sorted(reasons))})" if reasons else "")


def _queue(jobs: list[str]) -> dict[str, tuple[str, str]] | None:
    """State and reason of those of the jobs that Slurm still knows; None if it does not answer."""
    done = subprocess.run(
        ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"], capture_output=True, text=True
    )
    if done.returncode:
        log.warning("squeue: %s; it is asked again", done.stderr.strip())
        return None
    lines = (line.split("|", 2) for line in done.stdout.splitlines())
    found = {job: (state, reason) for job, state, reason in lines}
    return {job: found[job] for job in jobs if job in found}


def _cancel(jobs: list[str], *, waiting_only: bool = False) -> None:
    """Take jobs out of the queue; those that run are asked to end, with SIGTERM, and have Slurm's KillWait for it."""
    states = ["--state=PENDING"] if waiting_only else []
    done = subprocess.run(["scancel", *states, *jobs], capture_output=True, text=True)
    if done.returncode:
        log.warning("scancel: %s", done.stderr.strip())


def _results(launcher: Any, found: list[Any], states: dict[str, str]) -> list[JobReturn]:
    results, told = [], []
    stopped = on_cluster.stop_wanted(launcher)
    for job in found:
        # what is asked of a job without one is answered after 15 seconds, each
        if job.paths.result_pickle.exists() and (failure := job.exception()) is None:
            results.append(job.result())
        elif not stopped:
            said = str(failure).strip().splitlines()[-4:] if job.paths.result_pickle.exists() else []
            told.append(f"{job.job_id} ({' '.join([states[job.job_id].lower(), *said])})")
    if told:
        raise on_cluster.lost("Slurm", told, f"; what they printed: {_folder(launcher)}")
    return results


def _folder(launcher: Any) -> str:
    return str(launcher.settings["submitit_folder"]).replace("/%j", "")


def _array(found: list[Any]) -> str:
    return str(found[0].job_id).partition("_")[0]
