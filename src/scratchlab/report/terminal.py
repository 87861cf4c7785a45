"""Tables on the terminal."""

from collections.abc import Sequence

FILE_WIDTH = 140
"""Columns of a table that is written to a file or a pipe, which have no width of their own."""

SHORT = 10
"""Letters of a column that is never folded."""


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; long cells fold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for place, column in enumerate(columns):
        # what is short anyway would be broken within a word
        short = max(len(str(cell)) for cell in (column, *(row[place] for row in rows))) <= SHORT
        table.add_column(column, overflow="fold", no_wrap=short)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, FILE_WIDTH))
    console.print(table)


def say(text: str, *, prose: bool = False) -> None:
    """Print a line; on a terminal, `prose` breaks between words, and what may be copied stays one line."""
    from rich.console import Console

    console = Console()
    console.print(text, highlight=False, soft_wrap=not (prose and console.is_terminal), markup=False)
