"""Processor time of the command before any work: python benchmarks/startup.py [--repeats N].

As multiples of what `import hydra` takes, since absolute times belong to the machine. Each repetition runs every
command once, one after the other, so that a change of the machine's speed meets all of them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

SCRATCHLAB = [sys.executable, "-m", "scratchlab"]
HYDRA = "import hydra"
COMMANDS = {
    HYDRA: [sys.executable, "-c", HYDRA],
    "scratchlab --help": [*SCRATCHLAB, "--help"],
    "scratchlab task=classify --help": [*SCRATCHLAB, "task=classify", "--help"],
    "scratchlab experiment=ch06_row01_baseline --cfg job": [
        *SCRATCHLAB,
        "experiment=ch06_row01_baseline",
        "--cfg",
        "job",
    ],
    "scratchlab experiment=ch02_1_unknown_words": [*SCRATCHLAB, "experiment=ch02_1_unknown_words"],
}


def processor_seconds(words: list[str]) -> float:
    """User and system time of a command and of the processes it starts; in a fresh folder, where records go."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for words in COMMANDS.values():
        processor_seconds(words)  # the first time, files are read from disk and compiled
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, words in COMMANDS.items():
            seconds[name].append(processor_seconds(words))
    unit = statistics.median(seconds[HYDRA])
    print("| | milliseconds, median (range) | times `import hydra` (range) |\n|---|---|---|")
    for name, found in seconds.items():
        middle, least, most = statistics.median(found), min(found), max(found)
        print(
            f"| `{name}` | {middle * 1e3:.0f} ({least * 1e3:.0f} to {most * 1e3:.0f}) "
            f"| {middle / unit:.2f} ({least / unit:.2f} to {most / unit:.2f}) |"
        )


if __name__ == "__main__":
    main()
