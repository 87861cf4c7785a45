"""What each experiment takes: python benchmarks/resources.py [OUT ... --machine NAME].

Reads the records below each OUT, takes those that are an experiment as published, and puts time, memory and disk into
experiments/resources.csv; rows of other experiments stay. Then writes docs/resources.md from that table.
"""

import argparse
import statistics
from pathlib import Path

from scratchlab.book import experiments, resources
from scratchlab.book.resources import Cost
from scratchlab.data import sources
from scratchlab.evidence.runs import RunRecord, by_name, read_runs
from scratchlab.evidence.verdicts.speaking import otherwise
from scratchlab.files import size
from scratchlab.launch.published import Compositions
from scratchlab.report.text import as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "resources.md"
HEAD = """# What each experiment takes

Made from records by `python benchmarks/resources.py`; `scratchlab task=list` shows the same. Time is what a run's
record says: the median over the runs and, where it differs, the most. A first run also computes what frozen blocks give
for each example, which the others find in the cache. Memory is the most of the process at its peak; disk is the run's
folder, without the cache and without what is fetched. Where nothing was measured the table says so; `plan=true` tells,
from your own records, what a run may take on your machine.

The machine did other things meanwhile: times are what was seen, and no benchmark ([benchmarks.md](benchmarks.md)).

"""
COLUMNS = ("experiment", "time", "memory", "disk", "runs", "needs", "on")


def cost(name: str, runs: list[RunRecord], machine: str) -> Cost:
    # a run that was stopped and went on says how long its last start took, and how long it trained in all
    seconds = [max(run.seconds, run.metrics.get("train_seconds", 0.0)) for run in runs]
    return Cost(
        experiment=name,
        machine=machine,
        device="; ".join(sorted({run.device or "no device recorded" for run in runs})),
        runs=len(runs),
        seconds=round(statistics.median(seconds), 1),
        most_seconds=round(max(seconds), 1),
        memory=max(run.metrics.get("peak_memory_bytes", 0) for run in runs),
        disk=max(sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) for run in runs),
    )


def measured(outs: list[Path], machine: str) -> list[Cost]:
    every, published = experiments.read_all(), Compositions()
    runs = [run for out in outs for run in read_runs(out) if run.done and run.name in every]
    whole = [run for run in runs if not otherwise(run, every[run.name], published)]
    return [cost(name, list(found), machine) for name, found in by_name(whole).items()]


def page() -> str:
    known = resources.read()
    rows = []
    for name, experiment in experiments.read_all().items():
        needs = ", ".join([*experiment.weights, *sources.needed_by(experiment)])
        found = known.get(name)
        if experiment.local:
            continue
        if found is None:
            rows.append([f"`{name}`", resources.NOT_MEASURED, "", "", "", needs, ""])
            continue
        on = f"{found.machine}: {found.device}"
        sizes = [size(found.memory), size(found.disk)]
        rows.append([f"`{name}`", found.time, *sizes, str(found.runs), needs, on])
    return HEAD + as_markdown(COLUMNS, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outs", nargs="*", type=Path, metavar="OUT")
    parser.add_argument("--machine", help="what the records were made on, in words")
    given = parser.parse_args()
    if given.outs and not given.machine:
        parser.error("--machine: records do not name theirs; say it, as in --machine '2 cores, 24 GB'")
    if given.outs:
        new = {one.experiment: one for one in measured(given.outs, given.machine)}
        kept = resources.read() if resources.place().is_file() else {}
        resources.write((kept | new).values())
        resources.read.cache_clear()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
