"""Folders of many records: what commands take that read a few of them, with an index, without, and while it is made.

python benchmarks/many_records.py [--records 1000 10000 100000] [--folder FOLDER] [--plot PATH]

The records are those of chapter 6 in form and length, in sweeps of 60 runs; predictions are there for one sweep. They
are made below the folder, and taken again where they are there already. Processor seconds of whole commands.
"""

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from synthetic import outcomes, write_predictions  # noqa: E402

from scratchlab.evidence import index, index_file  # noqa: E402
from scratchlab.files import as_json  # noqa: E402
from scratchlab.launch import compose  # noqa: E402
from scratchlab.runs import record  # noqa: E402
from scratchlab.runs.identity import plain  # noqa: E402

EXPERIMENT, ITEMS = "ch06_row01_baseline", 300
RATES, SEEDS = [f"{rate}e-5" for rate in range(1, 21)], (123, 124, 125)
RUNS = len(RATES) * len(SEEDS)
NAME = "sweep{:05d}"
COMMANDS = {
    "table": f"task=compare select={NAME.format(0)} out={{out}}",
    "verdicts": "task=reproduce select=ch02* out={out}",
    "plan": f"-m experiment={EXPERIMENT} name={NAME.format(0)} train.lr={','.join(RATES)} seed=123,124,125 "
    "out={out} plan=true",
}
"""The table of one sweep, verdicts that no record is about, and the plan of a sweep that is done."""


def make(out: Path, records: int) -> None:
    """Write sweeps of 60 runs, which differ in nothing but their names, until there are so many records."""
    texts = []
    published: Any = compose.compose([f"experiment={EXPERIMENT}", f"out={out}"])
    for rate in RATES:
        for seed in SEEDS:
            config = replace(published, name=NAME, seed=seed, train=replace(published.train, lr=float(rate)))
            correct = outcomes(0.95 - 0.002 * RATES.index(rate), seed=seed, items=ITEMS)
            result = {
                "name": NAME, "task": config.task, "status": "done", "error": "", "revision": config.revision,
                "fingerprint": record.folder_of(config).name, "changes": {}, "seed": seed,
                "choices": {"train.lr": rate},
                "metrics": {"test_accuracy": float(correct.mean()), "train_seconds": 60.0, "peak_memory_bytes": 2**30},
                "claims": [], "no_effect": {}, "hashes": config.inputs() | {"weights": "0" * 64}, "device": "cpu",
                "versions": {"python": "3.11", "torch": "2.13.0"}, "git": {"commit": None, "dirty": None},
                "seconds": 70.0, "started": "2026-01-01T00:00:00.000+00:00",
            }  # fmt: skip
            texts.append(
                (yaml.safe_dump(plain(config), sort_keys=False), as_json(result), result["fingerprint"], correct)
            )
    for number in range(records):
        sweep, place = divmod(number, RUNS)
        settings, result_text, fingerprint, correct = texts[place]
        name = NAME.format(sweep)
        folder = out / name / fingerprint
        folder.mkdir(parents=True)
        (folder / record.CONFIG).write_text(settings.replace(NAME, name))
        (folder / record.RESULT).write_text(result_text.replace(NAME, name))
        if not sweep:
            write_predictions(folder, correct)


@dataclass(frozen=True)
class Taken:
    processor: float
    clock: float
    output: str


def command(words: str, *options: str) -> Taken:
    """Run a command in a process of its own."""
    before, clock = _children(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "scratchlab", *shlex.split(words), *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stderr}")
    return Taken(_children() - before, time.perf_counter() - clock, done.stdout)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rebuild(out: Path) -> tuple[float, dict[index_file.Place, str]]:
    """Make the index in this process: processor seconds, and what it then holds."""
    begun = time.process_time()
    index.below(out)
    return time.process_time() - begun, index.rows(out)


def measure(out: Path, records: int, repeats: int) -> dict[str, float]:
    """Processor seconds: of the commands without an index as far as they then do not make one, and with it."""
    path = out / index_file.FILE
    path.unlink(missing_ok=True)
    took: dict[str, float] = {}
    took["made"], content = rebuild(out)
    assert len(content) == records, f"{len(content)} rows"
    for how, spoil in {"deleted": path.unlink, "damaged": lambda: _damage(path)}.items():
        spoil()
        took[f"made after it was {how}"], again = rebuild(out)
        assert again == content, f"the index is another one after it was {how}"
    took["MB"] = path.stat().st_size / 1e6
    for name, words in COMMANDS.items():
        found = sorted(command(words.format(out=out)).processor for _ in range(repeats))
        took[name] = found[len(found) // 2]
        print(f"{records} records, {name}: {', '.join(f'{one:.2f}' for one in found)} s", flush=True)
    return took


def _damage(path: Path) -> None:
    """Overwrite a part in the middle, and cut off the end."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content[: -len(content) // 5])


def plot(path: Path, sizes: Sequence[int], found: Sequence[dict[str, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in ("made", *COMMANDS):
        axes.plot(sizes, [one[name] for one in found], marker="o", label="index made anew" if name == "made" else name)
    axes.set(xscale="log", yscale="log", xlabel="records", ylabel="processor seconds")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    found = []
    for records in given.records:
        out = folder / str(records)
        if not out.exists():
            begun = time.perf_counter()
            make(out, records)
            print(f"{records} records made in {time.perf_counter() - begun:.0f} s", flush=True)
            time.sleep(1)
        found.append(measure(out, records, given.repeats))
        print(records, {name: round(value, 2) for name, value in found[-1].items()}, flush=True)
    columns = list(found[0])
    print("| records | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for records, one in zip(given.records, found, strict=True):
        print(f"| {records:,} | " + " | ".join(f"{one[name]:.2f}" for name in columns) + " |")
    if given.plot:
        plot(given.plot, given.records, found)
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
