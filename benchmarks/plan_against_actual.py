"""What a plan says a sweep takes, against what it took: first of parts of runs, then of the records of other seeds.

python benchmarks/plan_against_actual.py [--cases small] [--folder FOLDER] [--threads 1]

Each case is planned where there is no record (`measure=true`), run, planned again with another seed, and run.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from scratchlab.launch import jobs, plan, plan_table
from scratchlab.runs.record import read_result

SIZE = ["model.emb_dim=192", "model.n_heads=6", "model.n_layers=4"]
CASES = {
    "small": [
        ["task=classify", "data=messages", "data.size=2000", "weights=random", "tune=all", "train.epochs=2", *SIZE],
        ["task=classify", "data=messages", "data.size=2000", "weights=random", "tune=last_block", *SIZE],
        ["task=pretrain", "data=verdict", "train.max_length=64", "train.epochs=4", *SIZE],
    ],
    "gpt2": [["experiment=ch06_row10_random", "train.epochs=1"], ["experiment=ch05_main"]],
}
"""Words of a sweep each, but for the seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=["small"], choices=CASES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        print("| run | told by | estimate, s | took, s | ratio |\n|---|---|---|---|---|")
        for number, words in enumerate(words for case in given.cases for words in CASES[case]):
            for seed in (1, 2):
                line = [*words, f"seed={seed}", f"out={folder / str(number)}", f"compute.threads={given.threads}"]
                compare(line)


def compare(words: list[str]) -> None:
    """Plan a run, do it, and print a line."""
    (planned,) = plan.make([jobs.job(words)], estimated=True, measured=True)
    if planned.estimate.seconds is None:
        raise RuntimeError(f"nothing is known of {planned.job.command}")
    subprocess.run([sys.executable, "-m", "scratchlab", *words], check=True, stdout=subprocess.DEVNULL)
    result = read_result(planned.job.folder)
    assert result is not None
    estimate, took = planned.estimate.seconds, result["seconds"]
    shown = [plan_table.time(estimate), plan_table.time(took), f"{estimate / took:.2f}"]
    print(f"| {planned.job.command} | {planned.estimate.told_by} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
