"""One table in the formats that people and programs read: JSON, CSV, Markdown, LaTeX."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scratchlab.evidence.gather import Comparison
from scratchlab.files import as_json
from scratchlab.report import paste
from scratchlab.report.text import Cells, as_csv, as_latex, as_markdown

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


def write(record: "Record", stem: str, data: Any, columns: Sequence[str], cells: Cells, *, title: str) -> None:
    """Write `stem`.json with the data, and .csv, .md and .tex with the cells."""
    record.write_text(f"{stem}.json", as_json(data))
    for ending, text in texts(columns, cells, title=title).items():
        record.write_text(f"{stem}.{ending}", text)


def write_comparisons(record: "Record", stem: str, found: Sequence[Comparison], shown: Sequence[str] = ()) -> None:
    """Write `stem`.json with all rows of all comparisons, and the same as tables to paste.

    .csv: long, a line a number, nothing rounded; .md: for a pull request; .tex: six columns, notes below. `shown`:
    the metrics beside the one that is compared.
    """
    rows = [{"task": one.task, "baseline": one.baseline.label} | row for one in found for row in one.rows]
    record.write_text(f"{stem}.json", as_json(rows))
    record.write_text(f"{stem}.csv", paste.long_csv(found, shown))
    record.write_text(f"{stem}.md", "\n".join(paste.markdown(one, shown) for one in found))
    record.write_text(f"{stem}.tex", "\n".join(paste.latex_table(one, shown) for one in found))


def texts(columns: Sequence[str], cells: Cells, *, title: str) -> dict[str, str]:
    return {
        "csv": as_csv(columns, cells),
        "md": f"# {title}\n\n{as_markdown(columns, cells)}",
        "tex": as_latex(columns, cells, title=title),
    }
