"""One table in the formats that people and programs read: JSON, CSV, Markdown, LaTeX."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scratchlab.files import as_json

if TYPE_CHECKING:
    from scratchlab.runs.record import Record

Cells = Sequence[Sequence[str]]


def write(record: "Record", stem: str, data: Any, columns: Sequence[str], cells: Cells, *, title: str) -> None:
    """Write `stem`.json with the data, and .csv, .md and .tex with the cells."""
    record.write_text(f"{stem}.json", as_json(data))
    for ending, text in texts(columns, cells, title=title).items():
        record.write_text(f"{stem}.{ending}", text)


def texts(columns: Sequence[str], cells: Cells, *, title: str) -> dict[str, str]:
    return {
        "csv": as_csv(columns, cells),
        "md": f"# {title}\n\n{as_markdown(columns, cells)}",
        "tex": as_latex(columns, cells, title=title),
    }


def as_csv(columns: Sequence[str], cells: Cells) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([columns, *cells])
    return table.getvalue()


def as_markdown(columns: Sequence[str], cells: Cells) -> str:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", "<br>") for cell in row) + " |"

    return "\n".join([line(columns), "|" + "---|" * len(columns), *map(line, cells)]) + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "-",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text).replace("\n", " ")


def as_latex(columns: Sequence[str], cells: Cells, *, title: str) -> str:
    """A `longtable` (package `longtable`) with rules of `booktabs`."""
    lines = [" & ".join(latex(str(cell)) for cell in row) + r" \\" for row in cells]
    width = 0.9 / len(columns)
    spec = f"p{{{width:.3f}\\linewidth}}" * len(columns)
    head = " & ".join(latex(column) for column in columns) + r" \\"
    return "\n".join(
        [f"\\begin{{longtable}}{{{spec}}}", f"\\caption{{{latex(title)}}} \\\\", r"\toprule", head, r"\midrule",
         r"\endhead", *lines, r"\bottomrule", r"\end{longtable}", ""]
    )  # fmt: skip
