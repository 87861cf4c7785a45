"""Kill a run before each of its file operations, start it again, and compare the bits.

    python tests/kill_points.py                 # every point of every run, and of every second start
    python tests/kill_points.py classify --step 7

A child counts what it does to files (opening for writing, writing, renaming, linking, removing, making folders) and
ends itself with SIGKILL at the n-th. Writes have two such points: before them, and when half of them is on disk.
Children are forked from a process that has loaded everything, so that a point costs a second.
"""

import argparse
import builtins
import io
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = [
    *("model=gpt2_tiny", "model.emb_dim=16", "model.n_layers=1", "weights=random", "tracking=none"),
    *("compute.threads=1", "train.epochs=1", "checkpoint_minutes=1e-9", "out=outputs"),
]
LINES = {
    "classify": [
        *("task=classify", "data=messages", "data.size=100", "tune=last_block", "model.context_length=64"),
        *("train.batch_size=32", "train.eval_every=2", "train.eval_batches=1", "save=true", *TINY),
    ],
    "pretrain": [
        *("task=pretrain", "data=text", "data.path=mine.txt", "dropout=uniform", "model.context_length=16"),
        *("train.eval_every=4", "train.eval_batches=1", "train.batch_size=8"),
        *("sampling.max_new_tokens=3", "save_checkpoint=true", *TINY),
    ],
    "instruct": [
        *("experiment=ch07_4_lora", "data=entries", "data.path=mine.json", "train.batch_size=8"),
        *("train.eval_every=4", "train.eval_batches=1", "sampling.max_new_tokens=3", *TINY),
    ],
}
TIMING = ("train_seconds", "tokens_per_second", "answer_seconds", "peak_memory_bytes")
SAME = ("history.jsonl", "samples.txt", "responses.json", "responses.jsonl", "predictions.csv")
"""Files that must be the same to the byte; where one is missing it must be missing in both."""


def surroundings(folder: Path) -> None:
    """The data that the lines name, in `folder`."""
    words = "It was a cold day and nobody had thought of bringing a coat, so they all went home again.".split()
    (folder / "mine.txt").write_text(" ".join(words[number * number % len(words)] for number in range(300)))
    entries = [
        {"instruction": f"Say {words[i % 19]}.", "input": "", "output": " ".join(words[: i % 9])} for i in range(30)
    ]
    (folder / "mine.json").write_text(json.dumps(entries))


class Counter:
    """Counts file operations below the current directory; kills this process at number `last`."""

    def __init__(self, last: int, report: Path) -> None:
        self.last, self.report, self.count = last, report, 0
        self.root = os.getcwd()
        self.here = os.getpid()

    def below(self, path: Any) -> bool:
        if isinstance(path, int):
            return False
        return os.path.abspath(os.fspath(path)).startswith(f"{self.root}/outputs")

    def point(self, what: str, half: Callable[[], Any] | None = None) -> None:
        """An operation is about to happen; `half` does the first half of it."""
        self.count += 1
        if self.count != self.last:
            return
        if half is not None:
            half()
        os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A file open for writing, whose writes count."""

    def __init__(self, file: Any, counter: Counter) -> None:
        self.__dict__.update(_file=file, _counter=counter)

    def write(self, content: Any) -> Any:
        self._counter.point("write")
        self._counter.point(
            "half a write", lambda: (self._file.write(content[: len(content) // 2]), self._file.flush())
        )
        return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Watched":
        self._file.__enter__()
        return self

    def __exit__(self, *rest: Any) -> Any:
        return self._file.__exit__(*rest)

    def __iter__(self) -> Any:
        return iter(self._file)


def watch(counter: Counter) -> None:
    """Let every way in which a run changes files go through the counter."""
    import safetensors.torch
    import torch

    def before(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(path: Any, *rest: Any, **more: Any) -> Any:
            if counter.below(path):
                counter.point(name)
            return real(path, *rest, **more)

        setattr(module, name, counted)

    for name in ("replace", "rename", "unlink", "remove", "mkdir", "link", "rmdir"):
        before(os, name)

    real_open = io.open

    def opened(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if not counter.below(file) or not set(mode) & set("wax+"):
            return real_open(file, mode, *rest, **more)
        counter.point("open")
        return Watched(real_open(file, mode, *rest, **more), counter)

    io.open = builtins.open = opened  # type: ignore[assignment]

    def whole(real: Callable[..., Any]) -> Callable[..., Any]:
        """Writers that are not Python's: what they write is cut in half."""

        def counted(content: Any, path: Any, *rest: Any, **more: Any) -> Any:
            if not isinstance(path, str | Path):
                return real(content, path, *rest, **more)

            def half() -> None:
                real(content, path, *rest, **more)
                os.truncate(path, os.path.getsize(path) // 2)

            counter.point(real.__name__)
            counter.point(f"half of {real.__name__}", half)
            return real(content, path, *rest, **more)

        return counted

    torch.save = whole(torch.save)
    safetensors.torch.save_file = whole(safetensors.torch.save_file)


def start(line: Sequence[str], folder: Path, last: int = 0) -> int:
    """Do the run in a child, killed at point `last` (0: never); the number of points, -1 if it was killed.

    Raises:
        RuntimeError: the run ended with an error.
    """
    report = folder / "child.json"
    report.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _child(line, folder, last, report)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return -1
    if status != 0 or not report.is_file():
        raise RuntimeError((folder / "stderr.txt").read_text() or f"the run ended with {status}")
    return int(json.loads(report.read_text()))


def _child(line: Sequence[str], folder: Path, last: int, report: Path) -> None:
    code = 1
    try:
        os.chdir(folder)
        out = os.open("stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        from scratchlab.launch import compose
        from scratchlab.runs import record
        from scratchlab.runs.registry import TASKS
        from scratchlab.runs.tracking import Tracker

        config = compose.compose(list(line))
        counter = Counter(last, report)
        watch(counter)
        record.keep(config, TASKS[config.task].run, changes={}, tracker=Tracker(config.tracking))
        report.write_text(str(counter.count))
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def left(folder: Path) -> dict[str, Any]:
    """What a finished run left that must not depend on how often it was stopped."""
    import torch

    from scratchlab.runs import record

    (run,) = record.folders(folder / "outputs")
    result = json.loads((run / "result.json").read_text())
    found: dict[str, Any] = {"status": result["status"], "hashes": result["hashes"], "error": result["error"]}
    found |= {f"metrics.{k}": v for k, v in result["metrics"].items() if k not in TIMING}
    found |= {name: (run / name).read_bytes() if (run / name).is_file() else None for name in SAME}
    found["files"] = sorted(
        str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and "previous" not in p.relative_to(run).parts
    )
    for path in sorted((run / "checkpoint").glob("*")):
        if path.suffix == ".pth":
            state = torch.load(path, weights_only=True)
            found[path.name] = _bytes(state)
        elif path.suffix == ".safetensors":
            found[path.name] = path.read_bytes()
    return found


def _bytes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bytes(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bytes(item) for item in value]
    return value.numpy().tobytes() if hasattr(value, "numpy") else value


@dataclass
class Outcome:
    """What the kills of one run came to."""

    points: int = 0
    tried: int = 0
    wrong: list[str] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.wrong = []


def stopped_at(line: Sequence[str], folder: Path, points: int) -> list[int]:
    """Points after which a second start finds most to do: in the middle of training, and after it."""
    return [points // 2, points * 9 // 10]


def kill_everywhere(
    name: str, work: Path, *, step: int = 1, first: int = 1, second_starts: bool = True, say: bool = False
) -> Outcome:
    """Kill the run of that name at every `step`-th point; then its second start, after a first that was killed."""
    outcome, line = Outcome(), LINES[name]
    whole = _fresh(work)
    outcome.points = start(line, whole)
    expected = left(whole)
    for number in range(first, outcome.points + 1, step):
        folder = _fresh(work)
        _try(outcome, line, folder, expected, [number], say)
    if second_starts:
        for before in stopped_at(line, work, outcome.points):
            for number in itertools.count(first, step):
                folder = _fresh(work)
                if not _try(outcome, line, folder, expected, [before, number], say):
                    break
    return outcome


def _try(
    outcome: Outcome, line: Sequence[str], folder: Path, expected: dict[str, Any], kills: list[int], say: bool
) -> bool:
    """Kill at these points, one start after the other, then let the run come to its end; False if one was not met."""
    where = f"killed at {' and then '.join(map(str, kills))}"
    try:
        for kill in kills:
            if start(line, folder, kill) != -1:
                return False
        outcome.tried += 1
        start(line, folder)
        found = left(folder)
        different = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
        if different:
            outcome.wrong.append(f"{where}: another {', '.join(different)}")
    except Exception as error:
        outcome.wrong.append(f"{where}: {str(error).strip().splitlines()[-1]}")
    finally:
        shutil.rmtree(folder)
    if say and outcome.wrong and outcome.wrong[-1].startswith(where):
        print(outcome.wrong[-1], flush=True)
    return True


def _fresh(work: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=work))
    surroundings(folder)
    return folder


def warm(names: Sequence[str]) -> None:
    """Load everything that a child needs, once."""
    import torch

    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    here = os.getcwd()
    from scratchlab.launch import compose
    from scratchlab.runs import record
    from scratchlab.runs.registry import TASKS
    from scratchlab.runs.tracking import Tracker

    surroundings(folder)
    os.chdir(folder)
    try:
        for name in names:
            config = compose.compose(list(LINES[name]))
            record.keep(config, TASKS[config.task].run, changes={}, tracker=Tracker(config.tracking))
    finally:
        os.chdir(here)
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(LINES))
    parser.add_argument("--step", type=int, default=1, help="try every so many points")
    given = parser.parse_args()
    warm(given.names)
    bad = 0
    for name in given.names:
        with tempfile.TemporaryDirectory() as work:
            outcome = kill_everywhere(name, Path(work), step=given.step, say=True)
        print(f"{name}: {outcome.points} points, {outcome.tried} kills tried, {len(outcome.wrong)} came out otherwise")
        bad += len(outcome.wrong)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
