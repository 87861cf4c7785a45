"""Commands in processes forked from one that has loaded everything: each is alone in its own, and none waits to load.

The server, `python -m scratchlab.launch.warm FD`, writes a line to the file descriptor when it has loaded. It reads the
words of a command as a line of JSON, becomes that command in a child, and writes the child's exit code to the
descriptor. It computes nothing itself, so a child finds what a Python started anew would find: no seed, no thread, no
handler and no setting of another run.
"""

import contextlib
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib import import_module
from typing import Any

MODULE = "scratchlab.launch.warm"
FORKS = sys.platform == "linux"
"""Elsewhere a process that has loaded torch is not forked without danger."""
SLOW_TO_LOAD = (
    *("torch._dynamo", "tiktoken", "filelock", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("scratchlab.launch.jobs", "scratchlab.model.weights", "scratchlab.generation.sampling"),
)
"""What most runs load; the rest is loaded by the runs that need it."""


def exit_codes(
    lines: Sequence[Sequence[str]], loaded: Callable[[float], None] | None = None
) -> Generator[int, None, None]:
    """Do commands one after the other; yields their exit codes, negative where a signal ended the process.

    `loaded` is called with the seconds by the clock that a server took to load, which its commands do not take; it is
    not where each loads for itself.

    An exception that ends the waiting, Ctrl-C above all, ends the command too, which leaves its record first.
    """
    if not FORKS:
        yield from map(_alone, lines)
        return
    left = list(lines)
    while left:
        with _server(loaded) as ask:
            while left:
                code = ask(left.pop(0))
                yield 1 if code is None else code
                if code is None:  # the server itself was killed: another one takes over
                    break


def environment() -> dict[str, str]:
    """What the commands inherit: threads with nothing to do sleep soon, unless it is said how they are to wait.

    That changes no number. As it comes, libgomp lets them spin, and with a small model, whose steps are short, they
    take from each other, and from whatever else runs, several times the processor that is needed.
    """
    said = dict(os.environ)
    return said if "OMP_WAIT_POLICY" in said else {"GOMP_SPINCOUNT": "1000"} | said


def _alone(words: Sequence[str]) -> int:
    """Do a command in a Python of its own; its exit code."""
    process = subprocess.Popen([sys.executable, "-m", "scratchlab", *words], env=environment())
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


@contextlib.contextmanager
def _server(loaded: Callable[[float], None] | None = None) -> Iterator[Any]:
    """Start a server; gives a function from a command's words to its exit code, None if the server is gone."""
    begun = time.perf_counter()
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, str(write)],
        stdin=subprocess.PIPE,
        text=True,
        pass_fds=[write],
        env=environment(),
    )
    os.close(write)
    assert process.stdin is not None
    words_to = process.stdin

    def ask(words: Sequence[str]) -> int | None:
        with contextlib.suppress(BrokenPipeError):
            words_to.write(json.dumps(list(words)) + "\n")
            words_to.flush()
        answer = answers.readline()
        return int(answer) if answer else None

    with open(read, encoding="utf-8") as answers:
        try:
            if answers.readline() and loaded:
                loaded(time.perf_counter() - begun)
            yield ask
        except BaseException:
            process.terminate()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                words_to.close()
            process.wait()


class _Children:
    """The server's end: one child at a time, to which a request to end is handed on."""

    def __init__(self) -> None:
        self.child = 0
        # Ctrl-C reaches the child from the terminal
        self.before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN)}
        self.before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._hand_on)

    def _hand_on(self, number: int, frame: object) -> None:
        if not self.child:
            sys.exit(128 + number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child, number)

    def start(self) -> bool:
        """Fork; True in the child, where signals are as they were before."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self.before)
        self.child = os.fork()
        if self.child == 0:
            for number, handler in self.before.items():
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.before)
        return self.child == 0

    def wait(self) -> int:
        """The child's exit code."""
        _, status = os.waitpid(self.child, 0)
        self.child = 0
        return os.waitstatus_to_exitcode(status)


def serve(answers: int) -> None:
    """Become each command that stdin names, in a child; returns when there is no more to do."""
    os.set_inheritable(answers, False)
    children = _Children()
    gc.disable()
    load()
    gc.freeze()  # what a collection looks at is copied for the child
    with contextlib.suppress(BrokenPipeError):  # who asked is gone: stdin is at its end too
        os.write(answers, b"loaded\n")
        for line in sys.stdin:
            if children.start():
                become(json.loads(line))
            os.write(answers, f"{children.wait()}\n".encode())


def load() -> None:
    """Load what most runs load, and look up what is the same for all."""
    from scratchlab.assets import catalogue
    from scratchlab.assets.fetch import fetch
    from scratchlab.launch import compose
    from scratchlab.runs import environment as ran_on
    from scratchlab.text import tokenizer

    for name in SLOW_TO_LOAD:
        import_module(name)
    compose.register()
    ran_on.versions()
    ran_on.git()
    with contextlib.suppress(FileNotFoundError):  # nothing is fetched here that no run may need
        for file in (catalogue.VOCAB_BPE, catalogue.ENCODER_JSON):
            fetch(file, local_only=True)
        _ = tokenizer.gpt2().encoding


def become(words: list[str]) -> None:
    """Be `scratchlab WORDS`, to the end of the process."""
    gc.enable()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["scratchlab", *words]
    code: int | str | None = 1
    try:
        runpy.run_module("scratchlab", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        # to take down piece by piece what the server has loaded would cost more than a small run
        os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
