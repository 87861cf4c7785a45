"""What runs keep of frozen blocks in the cache folder: list it, or remove it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scratchlab.runs.config import Run

if TYPE_CHECKING:
    from scratchlab.runs.record import Record


@dataclass(kw_only=True)
class Cache(Run):
    task: ClassVar[str] = "cache"
    recorded: ClassVar[bool] = False

    clear: bool = False
    """Remove all of it, but for what a process computes at this moment."""


def cache(config: Cache, record: "Record") -> dict[str, Any]:
    from datetime import datetime

    from scratchlab.report import terminal
    from scratchlab.training import kept

    found = kept.entries()
    removed = {entry.key for entry in found if config.clear and kept.remove(entry.key)}
    rows = [
        [
            entry.key,
            f"{entry.size:,}",
            datetime.fromtimestamp(entry.used).isoformat(sep=" ", timespec="seconds"),
            entry.about.get("about", "left by a process that was killed, or being computed"),
            *(["removed" if entry.key in removed else "in use"] if config.clear else []),
        ]
        for entry in found
    ]
    size = sum(entry.size for entry in found) / kept.GIGABYTE
    columns = ["key", "bytes", "last used", "what", *(["now"] if config.clear else [])]
    terminal.show(f"{len(rows)} kept in {kept.folder()}, {size:.3g} GB", columns, rows)
    return {"entries": len(rows) - len(removed), "bytes": sum(e.size for e in found if e.key not in removed)}
