"""Tables on the terminal."""

from collections.abc import Sequence

FILE_WIDTH = 140
"""Columns of a table that is written to a file or a pipe, which have no width of their own."""

BETWEEN = 2
"""Columns of the terminal between two of a table, and around it."""


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; long cells fold."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, FILE_WIDTH))
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True
    )
    texts = [[column, *(str(row[place]) for row in rows)] for place, column in enumerate(columns)]
    for column, width in zip(columns, _widths(texts, console.width), strict=True):
        table.add_column(column, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console.print(table)


def _widths(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide each column is: all its lines if there is room, else its longest word at least.

    What is left goes to those that need the least more. Where even the words have no room, only the longest are broken.
    """
    room = width - BETWEEN * len(columns)
    lines = [max(len(line) for text in texts for line in text.split("\n")) for texts in columns]
    if sum(lines) <= room:
        return lines
    words = [max((len(word) for text in texts for word in text.split()), default=1) for texts in columns]
    cap = next((cap for cap in range(max(words), 1, -1) if sum(min(word, cap) for word in words) <= room), 1)
    widths = [min(word, cap) for word in words]
    left = max(0, room - sum(widths))
    for place in sorted(range(len(columns)), key=lambda place: lines[place] - widths[place]):
        more = min(left, lines[place] - widths[place])
        widths[place], left = widths[place] + more, left - more
    return widths


def say(text: str, *, prose: bool = False) -> None:
    """Print a line; on a terminal, `prose` breaks between words, and what may be copied stays one line."""
    from rich.console import Console

    console = Console()
    console.print(text, highlight=False, soft_wrap=not (prose and console.is_terminal), markup=False)
