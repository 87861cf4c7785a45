"""How long a comparison of many records takes: python benchmarks/compare_many.py [RECORDS]."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from synthetic import write_run  # noqa: E402

SEEDS, BATCHES = 5, 650
REAL = {f"group{i}.key{j}": "value" for i in range(8) for j in range(6)}
"""Settings besides the one that varies: as many as a real run has."""


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        for arm in range(records // SEEDS):
            for seed in range(123, 123 + SEEDS):
                accuracy, config = 0.95 - 0.0003 * arm, REAL | {"train": {"lr": 1e-5 * (arm + 1)}}
                losses = [1 / (step + 1 + arm + seed / 1000) for step in range(BATCHES)]
                write_run(Path(folder), f"arm{arm:03d}", seed, accuracy, config=config, losses=losses)
        command = [sys.executable, "-m", "scratchlab", "task=compare", f"out={folder}"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(
            f"{records} records, {records // SEEDS} arms: {time.perf_counter() - started:.1f} s "
            f"({resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.1f} s of CPU), start of Python included"
        )


if __name__ == "__main__":
    main()
