"""Bring a real Slurm of one node up and down, without a word in /etc.

    python tests/cluster/slurm.py up FOLDER       # prints what to export
    python tests/cluster/slurm.py down FOLDER

It needs root and Debian's packages: `apt-get install --no-install-recommends slurm-wlm munge`. Key, socket, state and
logs lie in FOLDER, the ports are free ones, and the daemons are those that `down` ends.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
CONF = """
ClusterName=scratchlab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
# how long a job that was put back must wait
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerParameters=sched_interval=2
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
DAEMONS = ("slurmd.pid", "slurmctld.pid", "munged.pid")


def missing() -> str:
    """Why it cannot be brought up here; empty if it can."""
    if os.geteuid() != 0:
        return "Slurm of one node needs root"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"no {', '.join(lacking)}: apt-get install --no-install-recommends slurm-wlm munge" if lacking else ""


def environment(folder: Path) -> dict[str, str]:
    """What commands of Slurm's must have in their environment."""
    return {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}


def up(folder: Path) -> dict[str, str]:
    """Start the daemons and wait until the node takes jobs; what commands must have in their environment.

    Raises:
        RuntimeError: it does not come up; with the logs.
    """
    if reason := missing():
        raise RuntimeError(reason)
    folder = folder.resolve()
    for part in (folder, folder / "state", folder / "spool"):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    ports = dict(zip(("controller", "daemon"), _free_ports(2), strict=True))
    conf = CONF.format(host=host, folder=folder, processors=min(2, os.cpu_count() or 1), **ports)
    (folder / "slurm.conf").write_text(conf.lstrip())
    given = {**os.environ, **environment(folder)}
    munged = [f"--{what}={folder}/munge{end}" for what, end in (("key-file", ".key"), ("socket", ".socket"))]
    munged += [f"--{what}={folder}/munged.{what[:3]}" for what in ("pid-file", "log-file")]
    for command in (["munged", "--force", f"--seed-file={folder}/munged.seed", *munged], ["slurmctld"], ["slurmd"]):
        subprocess.run(command, env=given, check=True, capture_output=True, timeout=60)
    deadline = time.monotonic() + 60
    while "idle" not in _state(given):
        if time.monotonic() > deadline:
            told = "\n".join((folder / f"{name}.log").read_text()[-2000:] for name in ("slurmctld", "slurmd", "munged"))
            down(folder)
            raise RuntimeError(f"the node takes no jobs:\n{told}")
        time.sleep(0.5)
    return environment(folder)


def down(folder: Path) -> None:
    """End the jobs and the daemons of `up`."""
    given = {**os.environ, **environment(folder)}
    subprocess.run(["scancel", "--user=root", "--signal=KILL", "--full"], env=given, capture_output=True, timeout=60)
    subprocess.run(["scancel", "--user=root"], env=given, capture_output=True, timeout=60)
    for name in DAEMONS:
        path = folder / name
        if not path.is_file():
            continue
        process = int(path.read_text())
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{process}").exists():
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.1)


def _state(given: dict[str, str]) -> str:
    command = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60).stdout


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    import by_hand

    by_hand.main(__doc__, up, down)
