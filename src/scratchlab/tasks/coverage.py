"""Show every exercise of the appendix with the state of its claims, and apart from them the rest of the book."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.evidence.reading import Reading

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Coverage(Reading):
    task: ClassVar[str] = "coverage"


def coverage(config: Coverage, record: "Record") -> dict[str, Any]:
    from scratchlab.book import claims, experiments
    from scratchlab.evidence.records import Records
    from scratchlab.evidence.verdicts import decide, row
    from scratchlab.launch.published import Compositions
    from scratchlab.report import formats, terminal
    from scratchlab.report import verdicts as tables

    files = experiments.select(config.select)
    runs = Records(config.out, config.seed_numbers)
    everything = experiments.read_all()
    published = Compositions()
    rows = [row(stated, decide(stated, runs, everything, published)) for stated in claims.of(files.values())]
    cells = tables.coverage(tables.apart(rows)[0], files)
    columns = ["exercise", "about", "experiments", "claims"]
    title = "The exercises of the appendix"
    data = [dict(zip(columns, line, strict=True)) for line in cells]
    formats.write(record, "coverage", data, columns, cells, title=title)
    terminal.show(title, columns, cells)
    others, columns = tables.beyond(rows, files), ["part", "experiments", "claims"]
    title = "The other parts of the book, bonus material among them"
    data = [dict(zip(columns, line, strict=True)) for line in others]
    formats.write(record, "coverage_beyond", data, columns, others, title=title)
    terminal.show(title, columns, others)
    return {
        "exercises": len(cells),
        "other_parts": len(others),
        "without_experiment": sum(not line[2] for line in cells),
    }
