"""The file that an index is kept in: rows about records, whole and sealed, or not there.

It is an SQLite file that nobody changes in place: whoever has read enough new records writes a whole new one and
renames it. So it needs no journal and no lock, neither of which can be relied on over a network (a write-ahead log
needs memory that all who use it share). A reader keeps the file that it has opened; of two who write at once one wins,
and the rows of the other are derived once more.
"""

import hashlib
import logging
import os
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scratchlab.assets.fetch import cache_folder
from scratchlab.files import PACKAGE, in_one_step

log = logging.getLogger(__name__)

FILE = ".index.sqlite"
MOST_NAMES = 50
"""Of which rows are looked up one by one; for more, all are read."""

Place = tuple[str, str]
"""The two folders that a record's path ends with, by which it is known below `out`."""
Row = tuple[str, str]
"""What is known, as JSON, and its seal."""


@dataclass(frozen=True)
class Known:
    """Rows of an index, and whether the file is damaged."""

    rows: Mapping[Place, Row]
    damaged: bool = False


def paths(out: Path) -> list[Path]:
    """Where the index of a folder may be: in it, or where that cannot be written, in the cache folder."""
    key = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]
    return [out / FILE, cache_folder() / "indexes" / f"{key}.sqlite"]


def read(out: Path, names: Collection[str] | None) -> Known:
    """The rows of these names, of all where many are asked for; what of the file is damaged is left out, and told."""
    path = next((path for path in paths(out) if path.is_file()), None)
    if path is None:
        return Known({})
    found: dict[Place, Row] = {}
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.text_factory = lambda value: value.decode(errors="replace")
            if database.execute("SELECT version FROM about").fetchone() != (version(),):
                log.debug("%s is of another version", path)
                return Known({})
            everything = "SELECT name, run, facts, seal FROM records"
            if names is None or len(names) > MOST_NAMES:
                asked = [database.execute(everything)]
            else:
                asked = [database.execute(f"{everything} WHERE name = ?", (n,)) for n in names if n.isprintable()]
            for answer in asked:
                for name, run, facts, seal in answer:
                    if all(isinstance(text, str) for text in (name, run, facts, seal)):
                        found[name, run] = facts, seal
    except (sqlite3.Error, OSError) as error:
        log.warning("%s cannot be used (%s): what it lacks is read from the records", path, error)
        return Known(found, damaged=True)
    return Known(found)


def write(out: Path, known: Known, new: Mapping[Place, Row], gone: Collection[Place]) -> None:
    """Write the index anew: what it holds now (of a damaged one, what is known), and these."""
    kept = {**(known if known.damaged else read(out, None)).rows, **new}
    for place in gone:
        kept.pop(place, None)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE about (version TEXT)")
        database.execute(
            "CREATE TABLE records (name TEXT, run TEXT, facts TEXT, seal TEXT, PRIMARY KEY (name, run)) WITHOUT ROWID"
        )
        database.execute("INSERT INTO about VALUES (?)", (version(),))
        values = [(*place, *row) for place, row in sorted(kept.items())]
        database.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", values)
        database.commit()
        content = database.serialize()
    problems = []
    for path in paths(out):
        try:
            if path.parent != out:
                path.parent.mkdir(parents=True, exist_ok=True)
            with in_one_step(path) as temporary:
                temporary.write_bytes(content)
            return
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
    log.warning("the index of %s cannot be kept (%s): records are read again next time", out, "; ".join(problems))


@cache
def version() -> str:
    """A hash of the program: another one may see something else in the same record."""
    found = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        found.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]
