"""Check what was published: impossible percentages, mixed baselines, sentences against tables, commands."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.book import experiments
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Lint(Run):
    task: ClassVar[str] = "lint"
    reusable: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    select: str = "*"
    """Globs over experiment names, comma-separated."""


def lint(config: Lint, record: "Record") -> dict[str, Any]:
    import json

    from scratchlab.book import lint as checks
    from scratchlab.matching import matches
    from scratchlab.report import terminal

    chosen = experiments.select(config.select)
    # baselines may lie outside of the selection, so all claims are read
    found = [f for f in checks.check(experiments.read_all()) if matches(f.experiment, config.select)]
    record.write_text("lint.json", json.dumps([asdict(f) for f in found], indent=1, ensure_ascii=False) + "\n")
    claims = sum(len(experiment.claims) for experiment in chosen.values())
    rows = [[f.experiment, f.metric, f.rule, f.text] for f in found]
    terminal.show(f"{len(found)} findings in {claims} claims", ["experiment", "metric", "rule", "what"], rows)
    return {"claims": claims, "findings": len(found)} | {
        rule: sum(f.rule == rule for f in found) for rule in sorted({f.rule for f in found})
    }
