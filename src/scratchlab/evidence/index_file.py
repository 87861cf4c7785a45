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
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scratchlab.assets.fetch import cache_folder
from scratchlab.files import PACKAGE, in_one_step

log = logging.getLogger(__name__)

FILE = ".index.sqlite"
MOST_NAMES = 1000
"""Of which rows are looked up one by one; for more, all are read."""
PATHS = {"status": "$[2]", "training": "$[6]", "kind": "$[7][0]", "device": "$[7][6]", "started": "$[7][7]"}
"""Where facts say by what they are looked up; see `index.Entry`."""

Place = tuple[str, str]
"""The two folders that a record's path ends with, by which it is known below `out`."""
Row = tuple[str, str]
"""What is known, as JSON, and its seal."""


def _says(what: str) -> str:
    """SQL for what facts say; of what is no JSON any more, nothing."""
    return f"CASE WHEN json_valid(facts) THEN json_extract(facts, '{PATHS[what]}') END"


_SCHEMA = f"""
CREATE TABLE about (version TEXT);
CREATE TABLE records (name TEXT, run TEXT, facts TEXT, seal TEXT, PRIMARY KEY (name, run)) WITHOUT ROWID;
CREATE INDEX by_kind ON records ({_says("kind")}, {_says("device")}, {_says("started")});
CREATE INDEX by_training ON records ({_says("training")}) WHERE {_says("training")} IS NOT NULL;
CREATE INDEX by_status ON records ({_says("status")}) WHERE {_says("status")} <> 'done';
CREATE TABLE names (name TEXT PRIMARY KEY, seal TEXT) WITHOUT ROWID;
"""
_NOT_DONE = f"{_says('status')} <> 'done'"
_OF_KIND = f"{_says('kind')} = ? AND {_says('device')} = ? ORDER BY {_says('started')} DESC LIMIT ?"
_OF_TRAINING = f"{_says('training')} = ?"


@dataclass(frozen=True)
class Known:
    """Rows of an index, and whether the file is damaged."""

    rows: Mapping[Place, Row]
    damaged: bool = False


@dataclass(frozen=True)
class Listed:
    """A folder of records when it was listed: a seal of its name and time, and what was in it."""

    seal: str
    runs: Collection[str]


def paths(out: Path) -> list[Path]:
    """Where the index of a folder may be: in it, or where that cannot be written, in the cache folder."""
    key = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:16]
    return [out / FILE, cache_folder() / "indexes" / f"{key}.sqlite"]


def read(out: Path, names: Collection[str] | None) -> Known:
    """The rows of these names, of all where many are asked for; what of the file is damaged is left out, and told."""
    if names is None or len(names) > MOST_NAMES:
        return _select(out, [("TRUE", ())])
    return _select(out, [("name = ?", (name,)) for name in names if name.isprintable()])


def of_kinds(out: Path, kinds: Iterable[str], devices: Collection[str], most: int) -> Known:
    """Rows of records that took time and memory on such devices, the newest of each; and all that are not done."""
    each = [(_OF_KIND, (kind, device, most)) for kind in kinds for device in devices]
    return _select(out, [(_NOT_DONE, ()), *each])


def of_training(out: Path, training: str) -> Known:
    """Rows of records that keep what such a training made; and all that are not done."""
    return _select(out, [(_NOT_DONE, ()), (_OF_TRAINING, (training,))])


def names(out: Path) -> dict[str, str]:
    """Names of which every record has its row, each with the seal of its folder at that time."""
    found: dict[str, str] = {}
    damaged = _ask(out, lambda database: found.update(database.execute("SELECT name, seal FROM names")))
    return {} if damaged else found


def _select(out: Path, conditions: Iterable[tuple[str, tuple[str | int, ...]]]) -> Known:
    found: dict[Place, Row] = {}

    def ask(database: sqlite3.Connection) -> None:
        for condition, values in conditions:
            rows = database.execute(f"SELECT name, run, facts, seal FROM records WHERE {condition}", values)
            for name, run, facts, seal in rows:
                if all(isinstance(text, str) for text in (name, run, facts, seal)):
                    found[name, run] = facts, seal

    damaged = _ask(out, ask)
    return Known(found, damaged)


def _ask(out: Path, question: Callable[[sqlite3.Connection], None]) -> bool:
    """Put a question to the index, if there is one of this version; whether its file is damaged, which is told."""
    path = next((path for path in paths(out) if path.is_file()), None)
    if path is None:
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.text_factory = lambda value: value.decode(errors="replace")
            if database.execute("SELECT version FROM about").fetchone() == (version(),):
                question(database)
            else:
                log.debug("%s is of another version", path)
    except (sqlite3.Error, OSError) as error:
        log.warning("%s cannot be used (%s): what it lacks is read from the records", path, error)
        return True
    return False


def write(
    out: Path, known: Known, new: Mapping[Place, Row], gone: Collection[Place], listed: Mapping[str, Listed]
) -> None:
    """Write the index anew: what it holds now (of a damaged one, what is known), and these."""
    kept = {**(known if known.damaged else read(out, None)).rows, **new}
    for place in gone:
        kept.pop(place, None)
    whole = {} if known.damaged else {name: seal for name, seal in names(out).items() if name not in listed}
    whole |= {
        name: one.seal for name, one in listed.items() if one.seal and all((name, run) in kept for run in one.runs)
    }
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO about VALUES (?)", (version(),))
        values = [(*place, *row) for place, row in sorted(kept.items())]
        database.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", values)
        database.executemany("INSERT INTO names VALUES (?, ?)", sorted(whole.items()))
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
