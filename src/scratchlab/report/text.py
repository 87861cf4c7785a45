"""Cells as text: CSV, Markdown, LaTeX."""

import csv
import io
from collections.abc import Sequence

Cells = Sequence[Sequence[str]]


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
