"""What is known of every record below a folder without opening it: derived from the records, and never the truth.

A row of the index is believed only if its seal fits: a hash of the row and of what the file system says about the
files that it was derived from (size, times, inode). Whatever changes, of the record or of the row, breaks the seal,
and the record is read. A row that is lost is a record that is read. Which records are there is asked of the folder.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scratchlab.evidence import costs, index_file
from scratchlab.evidence.costs import Cost
from scratchlab.evidence.index_file import Known, Listed, Place, Row
from scratchlab.evidence.predictions import PREDICTIONS, SCORES
from scratchlab.evidence.runs import RunRecord, read_run
from scratchlab.matching import matches
from scratchlab.progress import progress
from scratchlab.runs import record

log = logging.getLogger(__name__)

FILES = (record.CONFIG, record.RESULT, PREDICTIONS, SCORES)
"""All that `read_run` opens."""
WORTH_WRITING = 100
"""Records that had to be read; fewer are read again sooner than a file is written."""
MOST_HELD = 2000
"""Records that are read for the index and kept for whoever asks next."""
SETTLED = 0.2
"""Seconds after which a file that changes once more surely gets another time; 2 more where times are whole seconds."""


class Entry(NamedTuple):
    """What a record says of itself, as far as it decides whether it is to be opened."""

    name: str
    seed: int
    status: str
    """As in `RunRecord`."""
    about_records: bool
    """Whether its task only reports on other records."""
    claims: bool
    """Whether it states claims of its own."""
    problems: Sequence[str]
    training: str | None
    """Fingerprint of the training whose model it keeps; see `training.resume`. Its folder says what it is, so that this
    stays right."""
    cost: Cost | None


@dataclass(slots=True)
class Found:
    """A record that is there, and what is known of it."""

    out: Path
    place: Place
    entry: Entry
    written: int
    """When it was last changed, in nanoseconds."""
    held: RunRecord | None = None

    @property
    def folder(self) -> Path:
        return self.out.joinpath(*self.place)

    @property
    def about_records(self) -> bool:
        return self.entry.about_records

    @property
    def status(self) -> str:
        return self.entry.status

    @property
    def problems(self) -> Sequence[str]:
        return self.entry.problems

    def read(self) -> RunRecord:
        """The record itself."""
        return self.held or read_run(self.folder)


def below(out: Path | str, select: str = "*", *, keep: bool = True, most: int | None = None) -> list[Found]:
    """Every record below `out` in a folder whose name matches one of the comma-separated globs, in order of folders.

    `keep`: write the index where that is worth it; `most`: of those that it does not know, leave out all but so many,
    the newest.
    """
    out = Path(out)
    there = _folders(out)
    names = [name for name in there if matches(name, select)]
    listed = {name: _listed(out, name) for name in names}
    places = [(name, run) for name, one in listed.items() for run in one.runs]
    known = index_file.read(out, None if names == there else names)
    all_names, now = set(there), set(places)
    gone = [place for place in known.rows if place not in now and (place[0] in listed or place[0] not in all_names)]
    return list(_find(out, places, known, gone, listed, keep=keep, most=most).values())


def of(folders: Iterable[Path]) -> dict[Path, Found]:
    """The records in these folders, wherever they are; a folder without a record is left out."""
    by_out: dict[Path, list[Path]] = {}
    for folder in folders:
        by_out.setdefault(folder.parents[1], []).append(folder)
    found: dict[Path, Found] = {}
    for out, members in by_out.items():
        places = [(folder.parent.name, folder.name) for folder in members]
        known = index_file.read(out, list(dict.fromkeys(name for name, _ in places)))
        there = _find(out, places, known)
        found |= {folder: there[place] for folder, place in zip(members, places, strict=True) if place in there}
    return found


def of_kinds(out: Path | str, kinds: Collection[str], *, most: int) -> list[Found]:
    """What may tell what runs of these kinds take (`costs.kind`); with an index, no other record is looked at.

    That are the newest finished ones, those that were not done when the index was made, and those that it does not
    know. `most`: of each kind on each device, and of those that are to be read.
    """
    out = Path(out)
    found = _looked_up(out, lambda: index_file.of_kinds(out, kinds, costs.DEVICES, most))
    if found is None:
        return below(out, most=most)
    places, known, listed = found
    return list(_find(out, places, known, (), listed, most=most).values())


def of_training(out: Path | str, training: str) -> list[Path]:
    """Folders that may keep the model of such a training; with an index, of no other training that is known."""
    out = Path(out)
    found = _looked_up(out, lambda: index_file.of_training(out, training))
    if found is None:
        return [out / name / run for name in _folders(out) for run in _folders(out / name)]
    return [out.joinpath(*place) for place in found[0]]


def _looked_up(out: Path, ask: Callable[[], Known]) -> tuple[list[Place], Known, dict[str, Listed]] | None:
    """Places that may be what is asked for: those of the rows that the index gives, and those that have none.

    With the rows, and the folders that have changed since. None: there is no index that could say so.
    """
    unknown = _unknown(out)
    if unknown is None or (known := ask()).damaged:
        return None
    places, listed = unknown
    return list(dict.fromkeys([*known.rows, *places])), known, listed


def _unknown(out: Path) -> tuple[list[Place], dict[str, Listed]] | None:
    """The places below `out` that have no row, from folders that have changed since the index was made, and these.

    None: there is no index that could say so.
    """
    whole = index_file.names(out)
    if not whole:
        return None
    names = [name for name in _folders(out) if not (seal := _seal_of_name(out, name)) or whole.get(name) != seal]
    changed = {name: _listed(out, name) for name in names}
    rows = index_file.read(out, names).rows
    return [(name, run) for name, one in changed.items() for run in one.runs if (name, run) not in rows], changed


def _listed(out: Path, name: str) -> Listed:
    seal = _seal_of_name(out, name)  # before the names are read: what comes in between is seen the next time
    return Listed(seal, _folders(out / name))


def _seal_of_name(out: Path, name: str) -> str:
    """Changes whenever a record comes into the folder or goes; empty where the next change might go unseen."""
    try:
        told = os.stat(out / name)
    except OSError:
        return ""
    newest = max(told.st_mtime_ns, told.st_ctime_ns)
    stamp = _Stamp(
        f"{told.st_mtime_ns} {told.st_ctime_ns} {told.st_ino}", newest, _settled(newest, newest % 10**9 != 0)
    )
    return _seal((name, ""), stamp, "") if stamp.settled and name.isprintable() else ""


def rows(out: Path | str) -> dict[Place, str]:
    """All that the index of a folder knows now, whether it is still so or not: for who checks the index itself."""
    return {place: facts for place, (facts, _) in index_file.read(Path(out), None).rows.items()}


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def _find(
    out: Path,
    places: Iterable[Place],
    known: Known,
    gone: Collection[Place] = (),
    listed: Mapping[str, Listed] | None = None,
    *,
    keep: bool = True,
    most: int | None = None,
) -> dict[Place, Found]:
    """What is known of records, and of those that have to be read for it, what they say now."""
    found: dict[Place, Found | None] = {}
    stale: dict[Place, _Stamp] = {}
    for place in places:
        stamp = _stamp(f"{out}{os.sep}{place[0]}{os.sep}{place[1]}")
        if stamp is None:
            continue
        facts, seal = known.rows.get(place, ("", ""))
        fits = bool(facts) and seal == _seal(place, stamp, facts)
        found[place] = Found(out, place, _entry(facts), stamp.newest) if fits else None
        if not fits:
            stale[place] = stamp
    if most is not None and len(stale) > most:
        stale = dict(sorted(stale.items(), key=lambda item: item[1].newest, reverse=True)[:most])
    new: dict[Place, Row] = {}
    try:
        for one, row in _derived(out, stale):
            found[one.place] = one
            if row is not None:
                new[one.place] = row
    finally:  # what was read until somebody lost patience is kept
        if keep and (len(new) >= WORTH_WRITING or (new and known.damaged)):
            index_file.write(out, known, new, gone, listed or {})
    return {place: one for place, one in found.items() if one is not None}


def _derived(out: Path, stale: Mapping[Place, "_Stamp"]) -> Iterator[tuple[Found, Row | None]]:
    """Read records; a row for each whose next change would be seen."""
    for number, place in enumerate(_watched(stale, out)):
        folder, stamp = out.joinpath(*place), stale[place]
        run, training = read_run(folder), record.trained_as(folder)
        problems = list(run.problems)
        entry = Entry(
            run.name, run.seed, run.status, run.about_records, bool(run.claims), problems, training, costs.of(run)
        )
        row = None
        if stamp.settled and all(map(str.isprintable, place)):
            facts = json.dumps(entry)
            row = facts, _seal(place, stamp, facts)
        yield Found(out, place, entry, stamp.newest, run if number < MOST_HELD else None), row


def _watched(stale: Collection[Place], out: Path) -> Iterable[Place]:
    """The records that are to be read; said where that takes a while."""
    if len(stale) < WORTH_WRITING:
        return stale
    log.info("reading %d records below %s that are new or changed", len(stale), out)
    return progress(stale, total=len(stale), what="records")


class _Stamp(NamedTuple):
    """What the file system says about the files of a record."""

    text: str
    newest: int
    settled: bool
    """Whether it is so old that the next change will give it another text."""


def _stamp(folder: str) -> _Stamp | None:
    """None where no record is."""
    parts, newest, fine = [], 0, False
    for name in FILES:
        try:
            told = os.stat(f"{folder}{os.sep}{name}")
        except OSError:
            parts.append("")
            continue
        parts.append(f"{told.st_size} {told.st_mtime_ns} {told.st_ctime_ns} {told.st_ino}")
        newest = max(newest, told.st_mtime_ns, told.st_ctime_ns)
        fine = fine or told.st_mtime_ns % 10**9 != 0
    if not parts[0] and not parts[1]:
        return None
    return _Stamp("|".join(parts), newest, _settled(newest, fine))


def _settled(newest: int, fine: bool) -> bool:
    """`fine`: times are not of whole seconds."""
    return time.time_ns() - newest > (SETTLED if fine else 2 + SETTLED) * 10**9


def _seal(place: Place, stamp: _Stamp, facts: str) -> str:
    text = "\0".join((*place, stamp.text, facts))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _entry(facts: str) -> Entry:
    *plain, cost = json.loads(facts)
    return Entry._make([*plain, Cost._make(cost) if cost else None])
