"""Bring a local Ray up and down; only the processes that were started here are ended.

    python tests/cluster/ray_node.py up FOLDER       # prints what to export
    python tests/cluster/ray_node.py down FOLDER

It needs `pip install 'scratchlab[ray]'`. The ports are free ones. Ray's own files lie in a folder of their own
below /tmp, since the names of its sockets may not be long.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALM = {"RAY_worker_niceness": "0"}
"""Ray lets its workers go after everything else on a machine: on a busy one they would get nowhere."""
PID, FILES, LOG = "ray.pid", "ray.files", "ray.log"


def missing() -> str:
    """Why it cannot be brought up here; empty if it can."""
    return "" if importlib.util.find_spec("ray") is not None else "ray: pip install 'scratchlab[ray]'"


def up(folder: Path, *, processors: int = 2) -> dict[str, str]:
    """Start a head node and wait until it takes jobs; what commands must have in their environment.

    Raises:
        RuntimeError: it does not come up; with what it printed.
    """
    if reason := missing():
        raise RuntimeError(reason)
    folder.mkdir(parents=True, exist_ok=True)
    files = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    (folder / FILES).write_text(files)
    token = (folder / "token").resolve()
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    # of its own: who listens to this node's ports gets in with nothing else, and nothing is left in ~/.ray
    allowed = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    words += [f"--port={port}", f"--num-cpus={processors}", "--object-store-memory=100000000", f"--temp-dir={files}"]
    words += ["--include-dashboard=false", "--disable-usage-stats"]
    # Ray sets the threads of a job, where nobody has
    given = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            words,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=given | CALM | allowed,
        )
    (folder / PID).write_text(str(process.pid))
    deadline = time.monotonic() + 120
    while "--block" not in (told := (folder / LOG).read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            down(folder)
            raise RuntimeError(f"Ray does not come up:\n{told[-3000:]}")
        time.sleep(0.2)
    return {"RAY_ADDRESS": f"127.0.0.1:{port}"} | allowed


def down(folder: Path) -> None:
    """End what `up` has started."""
    process = int((folder / PID).read_text())
    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        if not _alive(process):
            break
        os.killpg(process, number)
        deadline = time.monotonic() + seconds
        while _alive(process) and time.monotonic() < deadline:
            time.sleep(0.1)
    shutil.rmtree((folder / FILES).read_text(), ignore_errors=True)


def _alive(process: int) -> bool:
    try:  # a child that has ended, if it is ours
        os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        pass
    return Path(f"/proc/{process}").exists()


if __name__ == "__main__":
    import by_hand

    by_hand.main(__doc__, up, down)
