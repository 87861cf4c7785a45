"""Kill a sweep at random moments, give the same command again each time, and compare its records with undisturbed ones.

    python tests/kill_sweeps.py                     # basic and joblib, three kills each
    python tests/kill_sweeps.py joblib --seed 7

The whole process group is killed with SIGKILL, workers included. Jobs of Slurm and Ray, which must be there
(cluster/), are in no such group: Ray ends them with the process that asked for them; Slurm goes on with what is in its
queue after the first kill, and at the others the processes of its jobs are killed too.

In the end the records must be the same: the same fingerprints, metrics, losses and predictions, to the bit. And no job
that had finished may have been started again: its result is the file that was there at the kill, and nothing of a
finished run was put aside.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scratchlab.cli.sweep_folder import Sweep
from scratchlab.runs import aside, record

SWEEP = [
    *("task=classify", "data=messages", "data.size=120", "model=gpt2_tiny", "model.emb_dim=32", "weights=random"),
    *("model.context_length=64", "tune=all", "train.epochs=4", "train.eval_every=10", "train.eval_batches=1"),
    *("tracking=none", "compute.threads=1", "checkpoint_minutes=0.002", "seed=1,2,3,4,5,6", "position=first,last"),
]
JOBS = 12
LAUNCHERS = {
    "basic": [],
    "joblib": ["launch=parallel", "hydra.launcher.n_jobs=2"],
    "slurm": ["launch=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.poll_seconds=0.5"],
    "ray": ["launch=ray"],
}
TIMING = ("train_seconds", "tokens_per_second", "peak_memory_bytes")
SAME = (record.HISTORY, "predictions.csv")
"""Files that must be the same to the byte."""


def start(cwd: Path, launcher: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "scratchlab", "-m", *SWEEP, *LAUNCHERS[launcher]]
    with (cwd / "log.txt").open("ab") as log:
        return subprocess.Popen(words, cwd=cwd, stdout=log, stderr=log, start_new_session=True)


def results(cwd: Path) -> dict[str, bytes]:
    """The result files of finished runs, by folder."""
    found = {}
    for folder in record.folders(cwd / "outputs"):
        result = record.read_result(folder)
        if result is not None and result["status"] == "done":
            found[folder.name] = (folder / record.RESULT).read_bytes()
    return found


def content(cwd: Path) -> dict[str, Any]:
    """What must not depend on how often a sweep was killed."""
    found = {}
    for folder in record.folders(cwd / "outputs"):
        result = record.read_result(folder) or {}
        metrics = {name: value for name, value in result.get("metrics", {}).items() if name not in TIMING}
        files = {name: (folder / name).read_bytes() for name in SAME}
        found[folder.name] = (result.get("status"), json.dumps(metrics, sort_keys=True), result.get("hashes"), files)
    return found


def repeated(cwd: Path) -> list[str]:
    """Finished runs that were put aside to be done once more."""
    found = []
    for folder in record.folders(cwd / "outputs"):
        for before in aside.earlier(folder):
            result = record.result_or_warning(before)
            if result is not None and result["status"] == "done":
                found.append(str(before))
    return found


def moment(draw: random.Random, seconds: float, cwd: Path, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a random number of further jobs are done, and for a random part of `seconds`, those of a job."""
    done = len(results(cwd)) + draw.randint(0, JOBS // 4)
    begun = _begun(cwd)
    while process.poll() is None and (len(results(cwd)) < done or _begun(cwd) == begun):
        time.sleep(0.02)
    time.sleep(draw.uniform(0, seconds))


def end_jobs(cwd: Path, launcher: str, *, last: bool) -> None:
    """Kill the jobs that run though their sweep is dead; Ray does it by itself, and it is waited for.

    Those that Slurm has not begun stay in its queue, where the sweep that is given again takes them back; after the
    last kill they go, or they would be running when it is given for the last time.
    """
    if launcher == "slurm":
        for process in running(cwd):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (launcher == "ray" or last) and (running(cwd) or (launcher == "slurm" and _end_queue())):
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs of a sweep that was killed run on: {running(cwd)}")
        time.sleep(0.1)


def _end_queue() -> bool:
    """Take back what waits in Slurm's queue and kill what runs, also what still loads; whether there was any."""
    queue = subprocess.run(["squeue", "--me", "--noheader"], check=True, capture_output=True)
    for what in (["--state=PENDING"], ["--state=RUNNING", "--signal=KILL", "--full"]):
        subprocess.run(["scancel", "--me", *what], check=False, capture_output=True)  # it may have ended by itself
    return bool(queue.stdout.strip())


def running(cwd: Path) -> list[int]:
    """Processes that are doing a job."""
    return [process for folder in (cwd / "outputs" / ".sweeps").glob("*") for process in Sweep(folder).running()]


def _begun(cwd: Path) -> dict[Path, int]:
    """When each run was last begun."""
    return {path: path.stat().st_mtime_ns for path in (cwd / "outputs").glob(f"*/*/{record.CONFIG}")}


def prove(launcher: str, *, seed: int, kills: int, folder: Path) -> list[str]:
    """What is wrong, in lines; none if nothing is."""
    whole, killed = folder / f"whole_{launcher}", folder / f"killed_{launcher}"
    whole.mkdir()
    killed.mkdir()
    begun = time.monotonic()
    if code := start(whole, launcher).wait():
        return [f"the undisturbed sweep ended with {code}: {(whole / 'log.txt').read_text()[-2000:]}"]
    seconds = time.monotonic() - begun
    print(f"{launcher}: undisturbed, {len(results(whole))} jobs in {seconds:.1f} s", flush=True)
    draw, faults = random.Random(seed), []
    kept: dict[str, bytes] = {}
    for kill in range(1, kills + 1):
        process = start(killed, launcher)
        moment(draw, seconds / JOBS, killed, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if launcher == "ray" or (launcher == "slurm" and kill > 1):
            end_jobs(killed, launcher, last=kill == kills)
        kept = results(killed)
        unfinished = len(list((killed / "outputs").glob(f"*/*/{record.CONFIG}"))) - len(kept)
        print(f"{launcher}: kill {kill}: {len(kept)} jobs were done, {unfinished} under way", flush=True)
    code = start(killed, launcher).wait()
    print(f"{launcher}: given once more, it ended with exit code {code}", flush=True)
    after = results(killed)
    if code or len(after) != JOBS:
        said = (killed / "log.txt").read_text(errors="replace")[-3000:]
        faults.append(f"{len(after)} of {JOBS} jobs are done, exit code {code}; it ended with:\n{said}")
    faults += [
        f"{name} was done before the last start, and is another file now"
        for name in kept
        if kept[name] != after.get(name)
    ]
    faults += [f"{before} was done, and was done again" for before in repeated(killed)]
    ours, theirs = content(killed), content(whole)
    faults += [
        f"{name}: differs from the undisturbed run" for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)
    ]
    if not faults:
        print(
            f"{launcher}: {len(ours)} records are the same to the bit, and no finished job was started twice",
            flush=True,
        )
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("launchers", nargs="*", default=["basic", "joblib"], metavar="LAUNCHER")
    parser.add_argument("--seed", type=int, default=random.randrange(1000), help="of the moments")
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    print(f"moments drawn with --seed {given.seed}")
    with tempfile.TemporaryDirectory() as folder:
        faults = [
            f"{name}: {fault}"
            for name in given.launchers
            for fault in prove(name, seed=given.seed, kills=given.kills, folder=Path(folder))
        ]
    print("\n".join(faults) or "nothing is wrong")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
