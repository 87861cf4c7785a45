"""Compare runs with a baseline: which change moved the number, by how much, and is that more than noise."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading
from scratchlab.runs.identity import bookkeeping

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Compare(Reading):
    task: ClassVar[str] = "compare"

    baseline: str = ""
    """Name, fingerprint or `key=value` of the arm that the others are compared with; default: by the rule of sweeps."""
    metric: str = ""
    """What is compared; default: the first that is there of those that runs/metrics.py prefers, test accuracy first."""
    metrics: str = bookkeeping("")
    """Columns beside it, comma-separated, as `train_seconds,val_loss`; default: none in tables, all in the CSV."""
    texts: bool = True
    """Show the messages that changed, and the accuracy without copies, where the data are at hand."""


def compare(config: Compare, record: "Record") -> dict[str, Any]:
    from scratchlab.book import experiments
    from scratchlab.evidence import gather, records
    from scratchlab.evidence.remarks import problem_lines, unfinished
    from scratchlab.evidence.runs import arms
    from scratchlab.files import as_json
    from scratchlab.launch import command
    from scratchlab.report import formats, tables, terminal

    runs = records.read(config.out, config.select, config.seed_numbers)
    if not arms(runs):
        raise ValueError(f"select={config.select} out={config.out} seeds={config.seeds}: no finished run is there")
    found = gather.comparisons(
        runs, experiments.read_all(), config.baseline, config.metric, texts=config.texts, all_tasks=True
    )
    if not found:
        raise ValueError(f"select={config.select} out={config.out}: no record there holds a number to compare")
    command.settle(found)
    shown = tables.metrics_of(found, config.metrics)
    formats.write_comparisons(record, "table", found, shown)
    record.write_text("flips.json", as_json({label: items for one in found for label, items in one.flips.items()}))
    for one in found:
        tables.show(one, shown)
    for line in [*problem_lines(runs), *unfinished(runs), *(line for one in found for line in one.said)]:
        terminal.say(line)
    terminal.say(f"written to {record.folder}/table.json (and .md, .tex, .csv; flips.json: what changed, item by item)")
    return {
        "arms": sum(len(one.arms) for one in found),
        "runs": sum(len(arm.runs) for one in found for arm in one.arms),
        "metric": ", ".join(dict.fromkeys(one.metric for one in found)),
        "baseline": ", ".join(one.baseline.label for one in found),
    }
