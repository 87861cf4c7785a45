"""Put all evidence on one page: verdicts, comparisons, curves, changed items, cost, environment."""

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Report(Reading):
    task: ClassVar[str] = "report"

    baseline: str = ""
    """The arm that the others are compared with, as in task=compare."""


def report(config: Report, record: "Record") -> dict[str, Any]:
    from datetime import UTC, datetime

    from scratchlab.book import experiments
    from scratchlab.evidence import gather
    from scratchlab.launch import command
    from scratchlab.launch.published import Compositions
    from scratchlab.launch.words import value as words_of
    from scratchlab.report import page, terminal
    from scratchlab.report.verdicts import apart

    found = gather.gather(
        config.out,
        experiments.read_all(),
        select=config.select,
        seeds=config.seed_numbers,
        baseline=config.baseline,
        published=Compositions(),
        texts=True,
    )
    if not found.runs and not found.verdicts:
        raise ValueError(
            f"select={config.select} out={config.out} seeds={config.seeds}: no run and no claim is there to report"
        )
    command.settle(found.comparisons)
    options = {"select": config.select, "baseline": config.baseline, "seeds": config.seeds, "out": config.out}
    neutral = {"select": "*", "baseline": "", "seeds": None, "out": "outputs"}
    # lists of names are read without quotes, as they are typed
    words = [
        f"{key}={value if re.fullmatch(r'[*?A-Za-z_][*?,.A-Za-z0-9_-]*', str(value)) else words_of(value)}"
        for key, value in options.items()
        if value != neutral[key]
    ]
    path = page.write(
        record,
        found,
        command=shlex.join(["scratchlab", "task=report", *words]),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    for line in found.problems:
        terminal.say(line)
    terminal.say(f"written to {path}")
    published, asked = apart(found.verdicts)
    counts = {"claims": len(published), "findings": len(asked)}
    return {"runs": len(found.runs), **counts, "comparisons": len(found.comparisons)}
