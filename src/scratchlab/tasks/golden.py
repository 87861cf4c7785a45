"""Record our own numbers by environment, or check against them; they are kept apart from published claims."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Golden(Reading):
    task: ClassVar[str] = "golden"

    goldens: str = "goldens"
    """Folder of the recorded numbers, one file a class of environment."""
    reason: str = ""
    """Why these numbers are right; given, they are recorded, else checked."""

    def exit_code(self, metrics: dict[str, Any]) -> int:
        return 1 if metrics["differences"] else 0


def golden(config: Golden, record: "Record") -> dict[str, Any]:
    from datetime import UTC, datetime
    from pathlib import Path

    from scratchlab.evidence import goldens, records
    from scratchlab.files import as_json
    from scratchlab.report import terminal

    runs = [run for run in records.read(config.out, config.select, config.seed_numbers) if run.done]
    if not runs:
        raise ValueError(f"select={config.select} out={config.out}: no finished run is there")
    folder = Path(config.goldens)
    if config.reason:
        count = goldens.record(folder, runs, reason=config.reason, date=datetime.now(UTC).strftime("%Y-%m-%d"))
        terminal.say(f"{count} runs recorded in {folder}")
        return {"recorded": count, "differences": 0}
    checked, found = goldens.check(folder, runs)
    record.write_text("differences.json", as_json([asdict(difference) for difference in found]))
    for d in found:
        terminal.say(f"{d.name} seed {d.seed}: {d.metric} was {d.golden}, is {d.measured}")
    terminal.say(f"{checked} of {len(runs)} runs have a golden for their environment; {len(found)} numbers differ")
    return {"checked": checked, "differences": len(found)}
