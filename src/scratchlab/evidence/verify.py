"""A bundle opened and computed again: what in it does not hold together, in lines."""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from scratchlab.book.experiments import Experiment
from scratchlab.evidence.bundle import EXPERIMENTS, MANIFEST, TABLES, VERDICTS, tables
from scratchlab.evidence.configuration import Published, misprint
from scratchlab.evidence.gather import gather
from scratchlab.evidence.parsing import is_number, is_whole
from scratchlab.evidence.remarks import problem_lines
from scratchlab.evidence.runs import read_runs
from scratchlab.files import as_json, read_json

MADE_BY = "make one with: scratchlab task=bundle"
OPTIONS = ("select", "seeds", "baseline")


def verify(path: Path, installed: Mapping[str, Experiment], published: Published | None = None) -> list[str]:
    """Compute everything in a bundle again and say what differs, in lines; none if nothing does.

    `installed`: the experiments at hand, which those of the bundle must be; `published` composes them.

    Raises:
        ValueError: this is no bundle, or it can be read in more than one way.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"bundle={path}: no zip file; {MADE_BY}")
    with tempfile.TemporaryDirectory() as folder:
        _extract(path, Path(folder))
        try:
            return _verified(Path(folder), installed, published)
        except _Malformed as error:
            raise ValueError(f"bundle={path}: {error}; {MADE_BY}") from None


class _Malformed(ValueError):
    """A file of the bundle is not what task=bundle writes."""


def _extract(path: Path, folder: Path) -> None:
    """Unpack, if every entry has one name that lies inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            twice = sorted({name.lower() for name in names if sum(n.lower() == name.lower() for n in names) > 1})
            outside = [name for name in names if _outside(name)]
            if twice:
                raise ValueError(f"bundle={path}: {twice[0]} stands there more than once; {MADE_BY}")
            if outside:
                raise ValueError(f"bundle={path}: an entry is called {outside[0]!r}, which lies outside; {MADE_BY}")
            if MANIFEST not in names:
                raise ValueError(f"bundle={path}: holds no {MANIFEST}; {MADE_BY}")
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise ValueError(f"bundle={path}: cannot be unpacked: {error}; {MADE_BY}") from None


def _outside(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return PurePosixPath(name).is_absolute() or "\\" in name or ":" in name or any(p in ("", ".", "..") for p in parts)


def _verified(root: Path, installed: Mapping[str, Experiment], published: Published | None) -> list[str]:
    manifest = _json(root, MANIFEST, dict)
    options, hashes = manifest.get("options"), manifest.get("sha256")
    _check_options(options)
    if not isinstance(hashes, dict):
        raise _Malformed(f"{MANIFEST}: sha256 must be a mapping of file to hash")
    lines = _changed_files(root, hashes)
    stored = _json(root, EXPERIMENTS, dict)
    for name, entry in stored.items():
        if not (isinstance(entry, dict) and isinstance(entry.get("content"), dict) and "file" in entry):
            raise _Malformed(f"{EXPERIMENTS}: {name} must be a mapping with its file and content")
    then = {name: _json(root, name, list) for name in (VERDICTS, TABLES)}
    bundled = {
        name: Experiment(name, Path(str(e["file"])), e["content"], bool(e.get("local", False)))
        for name, e in stored.items()
    }
    lines += _changed_experiments(bundled, installed)
    runs = read_runs(root / "records")
    there = {run.name for run in runs}
    for name in sorted(there & set(installed) - set(bundled)):
        lines.append(f"{name}: the bundle leaves out this experiment, which is installed")
        bundled[name] = installed[name]
    known = {name: entry["published"] for name, entry in stored.items() if "published" in entry}
    lines += _changed_settings(known, installed, bundled, published)
    lines += problem_lines(runs)
    for run in runs:
        wrong = "its record has no fingerprint" if "fingerprint" in run.missing else misprint(run)
        lines += [f"{run.name} seed {run.seed}: {wrong}"] if run.done and wrong else []

    def as_published(name: str) -> Mapping[str, Any] | str:
        if name in known:
            return known[name]
        return published(name) if published and name in installed else f"the bundle does not say what {name} is"

    try:
        settings = as_published if known or published else None
        found = gather(root / "records", bundled, **options, published=settings, keep_index=False)
        now = {VERDICTS: json.loads(as_json(found.verdicts)), TABLES: json.loads(as_json(tables(found)))}
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # of what the experiments in the bundle hold
        return [*lines, f"nothing can be computed from what the bundle holds: {type(error).__name__}: {error}"]
    return lines + [line for name in then for line in _differences(name.removesuffix(".json"), then[name], now[name])]


def _json(root: Path, name: str, kind: type) -> Any:
    try:
        found = read_json(root / name)
    except FileNotFoundError:
        raise _Malformed(f"holds no {name}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise _Malformed(f"{name} is no JSON: {error}") from None
    if not isinstance(found, kind):
        raise _Malformed(f"{name} must be a {'mapping' if kind is dict else 'list'}, found {type(found).__name__}")
    return found


def _check_options(options: Any) -> None:
    if not isinstance(options, dict) or set(options) != set(OPTIONS):
        found = ", ".join(map(str, options)) if isinstance(options, dict) else type(options).__name__
        raise _Malformed(f"{MANIFEST}: the options must be {', '.join(OPTIONS)}, found {found or 'none'}")
    right = isinstance(options["select"], str) and isinstance(options["baseline"], str)
    if not (right and isinstance(options["seeds"], list) and all(map(is_whole, options["seeds"]))):
        raise _Malformed(f"{MANIFEST}: select and baseline must be texts, seeds a list of whole numbers")


def _changed_files(root: Path, hashes: Mapping[str, str]) -> list[str]:
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {MANIFEST}
    lines = [f"{name}: is missing" for name in sorted(set(hashes) - there)]
    lines += [f"{name}: is not in the manifest" for name in sorted(there - set(hashes))]
    for name in sorted(there & set(hashes)):
        if hashlib.sha256((root / name).read_bytes()).hexdigest() != hashes[name]:
            lines.append(f"{name}: was changed after it was packed")
    return lines


def _changed_experiments(bundled: Mapping[str, Experiment], installed: Mapping[str, Experiment]) -> list[str]:
    """Experiments that are other ones in the bundle than here, claims or settings."""
    lines = []
    for name in sorted(set(bundled) & set(installed)):
        ours, theirs = (json.loads(as_json(e.content)) for e in (installed[name], bundled[name]))
        if ours.get("claims") != theirs.get("claims"):
            lines.append(f"{name}: the bundle's claims are not those of the installed experiment file")
        other = [key for key in dict.fromkeys((*ours, *theirs)) if ours.get(key) != theirs.get(key) and key != "claims"]
        if other:
            lines.append(f"{name}: the bundle's {', '.join(other)} are not those of the installed experiment file")
        if bundled[name].local != installed[name].local:
            lines.append(f"{name}: in the bundle and here, one is a file of its user's own and one of the package")
    return lines


def _changed_settings(
    known: Mapping[str, Any],
    installed: Mapping[str, Experiment],
    bundled: Mapping[str, Experiment],
    published: Published | None,
) -> list[str]:
    """Experiments whose settings as published, composed again, are other ones than in the bundle."""
    if published is None:
        return []
    lines = []
    for name, then in known.items():
        if not isinstance(then, dict | str):
            raise _Malformed(f"{EXPERIMENTS}: {name}: published must be a mapping")
        if name in installed:
            now = json.loads(as_json(published(name)))
            lines += _differences(f"{name} as published", then, now)
        elif not bundled[name].local:
            lines.append(f"{name}: the bundle calls it an experiment of the package, and it is not installed")
    return lines


def _differences(where: str, then: Any, now: Any) -> list[str]:
    """Where two JSON values part; numbers may differ in the last digits, which another machine rounds otherwise."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = dict.fromkeys((*then, *now))
        return [line for key in keys for line in _differences(f"{where}.{key}", then.get(key), now.get(key))]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(f"{where}[{_name(a, i)}]", a, b)]
    if then == now:
        return []
    if is_number(then) and is_number(now):
        return [] if abs(then - now) <= 1e-9 * max(1.0, abs(then)) else [f"{where}: was {then}, is {now}"]
    return [f"{where}: was {str(then)[:120]}, is {str(now)[:120]}"]


def _name(item: Any, index: int) -> str:
    """What a list entry is called in a message."""
    if isinstance(item, dict):
        return ":".join(
            str(item[key]) for key in ("experiment", "name", "task", "metric", "kind") if key in item
        ) or str(index)
    return str(index)
