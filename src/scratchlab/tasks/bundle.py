"""Pack records, predictions and verdicts into one file, and compute everything in such a file again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading
from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Bundle(Reading):
    task: ClassVar[str] = "bundle"

    baseline: str = ""
    """The arm that the others are compared with, as in task=compare."""


def pack(config: Bundle, record: "Record") -> dict[str, Any]:
    from scratchlab.book import experiments
    from scratchlab.evidence import bundle
    from scratchlab.launch.published import Compositions
    from scratchlab.report import terminal

    path = record.folder / "bundle.zip"
    found = bundle.pack(
        config.out,
        experiments.read_all(),
        path,
        select=config.select,
        seeds=config.seed_numbers,
        baseline=config.baseline,
        published=Compositions(),
    )
    for line in found.problems:
        terminal.say(line)
    terminal.say(f"{len(found.runs)} runs, {len(found.verdicts)} verdicts, {len(found.comparisons)} tables in {path}")
    terminal.say(f"anyone checks it with: scratchlab task=verify bundle={path}")
    return {"runs": len(found.runs), "verdicts": len(found.verdicts), "bytes": path.stat().st_size}


@dataclass(kw_only=True)
class Verify(Run):
    task: ClassVar[str] = "verify"
    reusable: ClassVar[bool] = False
    about_records: ClassVar[bool] = True

    bundle: str = ""
    """The zip file that task=bundle made."""

    def exit_code(self, metrics: dict[str, Any]) -> int:
        return 1 if metrics["differences"] else 0


def verify(config: Verify, record: "Record") -> dict[str, Any]:
    from pathlib import Path

    from scratchlab.book import experiments
    from scratchlab.evidence.verify import verify as differences
    from scratchlab.files import as_json
    from scratchlab.launch.published import Compositions
    from scratchlab.report import terminal

    path = Path(config.bundle)
    if not path.is_file():
        raise FileNotFoundError(f"bundle={config.bundle}: no such file; make one with: scratchlab task=bundle")
    lines = differences(path, experiments.read_all(), Compositions())
    record.write_text("differences.json", as_json(lines))
    for line in lines:
        terminal.say(line)
    if lines:
        terminal.say(f"{len(lines)} differences")
    else:
        terminal.say("consistent: every table and verdict was computed again, and nothing differs")
    return {"differences": len(lines)}
