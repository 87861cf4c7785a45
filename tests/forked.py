"""The command line in a process forked from one that has loaded it all: a test waits for the run, not for the loading.

The server, `python tests/forked.py FD`, reads commands as lines of JSON, each with its words, folder and environment,
and writes the exit code of each to the file descriptor. What a command prints goes to two files.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scratchlab.launch import warm

WHILE_LOADING = ("PYTHONPATH", "PYTHONHASHSEED", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
"""Variables that are read while a process loads: a command that has others of them is not forked."""


class Commands:
    """Runs commands one after the other; ends with `close`."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.answers = -1

    def run(
        self, words: tuple[str, ...], cwd: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        if not warm.FORKS or any(environment.get(name) != os.environ.get(name) for name in WHILE_LOADING):
            return subprocess.run(
                [sys.executable, "-m", "scratchlab", *words],
                cwd=cwd,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        with tempfile.TemporaryDirectory() as folder:
            printed = [Path(folder, "stdout"), Path(folder, "stderr")]
            asked = {"words": words, "cwd": str(cwd), "environment": environment, "printed": [*map(str, printed)]}
            code = self.ask(json.dumps(asked), timeout)
            out, err = (path.read_text(encoding="utf-8") for path in printed)
        if code is None:
            raise subprocess.TimeoutExpired(list(words), timeout, out, err)
        return subprocess.CompletedProcess(list(words), code, out, err)

    def ask(self, line: str, timeout: float) -> int | None:
        """A command's exit code; None, and the server is gone with the command, where it took longer than `timeout`."""
        if self.process is None:
            read, write = os.pipe()
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(write)],
                stdin=subprocess.PIPE,
                text=True,
                pass_fds=[write],
                start_new_session=True,
            )
            os.close(write)
            self.answers = read
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        end, said = time.monotonic() + timeout, b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self.answers], [], [], max(0.0, end - time.monotonic()))
            read_now = os.read(self.answers, 64) if ready else b""
            if not read_now:
                self.close()
                return None
            said += read_now
        return int(said)

    def close(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            os.close(self.answers)
            self.process = None


def be(asked: dict[str, Any]) -> None:
    """Be the command that was asked for, to the end of the process."""
    os.chdir(asked["cwd"])
    for number, path in enumerate(asked["printed"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.path.insert(0, asked["cwd"])  # as `python -m` does
    os.environ.clear()
    os.environ.update(asked["environment"])
    warm.become(asked["words"])


def serve(answers: int) -> None:
    os.set_inheritable(answers, False)
    sys.path.pop(0)  # this folder: a command sees the one it is started in
    warm.load()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            be(json.loads(line))
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve(int(sys.argv[1]))
