"""Tensors that runs keep for each other in the cache folder, each under a hash of all that it hangs on.

One process computes, the others wait and take it. A tensor is there when its description is, which is written after it;
both are written in one step, so that a process that is killed leaves nothing that could be taken for whole.
"""

import hashlib
import json
import logging
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchlab.assets.fetch import cache_folder, sha256
from scratchlab.files import as_json, in_one_step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)

DATA, ABOUT, LOCK = ".bin", ".json", ".lock"
GIGABYTE = 10**9


def folder() -> Path:
    """Where it lies: `SCRATCHLAB_FEATURES`, else a folder of the cache."""
    return Path(os.environ.get("SCRATCHLAB_FEATURES") or cache_folder() / "features")


@dataclass(frozen=True)
class Entry:
    """One kept tensor, or what a killed process left of one."""

    key: str
    size: int
    used: float
    """When it was last taken, in seconds since 1970."""
    about: dict[str, Any]


@dataclass(frozen=True)
class Mapped:
    """A kept tensor, read from its file as it is used; not to be written to."""

    tensor: "Tensor"
    memory: mmap.mmap

    def release(self) -> None:
        """Give back the memory of what was read; it is read again where it is used again, from the system's cache."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self.memory.madvise(mmap.MADV_DONTNEED)


def take(
    key: str, shape: tuple[int, ...], dtype: "torch.dtype", make: Callable[[], "Iterable[Tensor]"], about: str
) -> Mapped:
    """The tensor kept under `key`, mapped from its file; where none is, or a damaged one, `make` gives it part by part.

    Raises:
        OSError: it could not be kept.
    """
    import torch

    folder().mkdir(parents=True, exist_ok=True)
    with _locked(key):
        path = folder() / f"{key}{DATA}"
        if problem := _problem(key, shape, dtype):
            if path.exists():
                log.warning("%s cannot be used (%s): computing it again", path, problem)
            _write(path, shape, dtype, make(), about)
        os.utime(path.with_suffix(ABOUT))
        with path.open("rb") as file:  # a private copy, as torch wants to be able to write: nobody does
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return Mapped(torch.frombuffer(memory, dtype=dtype).view(shape), memory)


def make_room(needed: Mapping[str, int], limit: float) -> str:
    """Remove what was used longest ago until `needed`, bytes by key, fits; says why it does not, empty if it does.

    `limit`: most gigabytes of all that is kept. Processes that begin at the same moment may pass it together.
    """
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    total = sum(needed.values())
    if total > limit * GIGABYTE:
        return f"{total / GIGABYTE:.3g} GB are more than compute.frozen_gigabytes={limit:g}"
    others = sorted((entry for entry in entries() if entry.key not in needed), key=lambda entry: entry.used)
    used = total + sum(entry.size for entry in others)
    for entry in others:
        if used > limit * GIGABYTE and remove(entry.key):
            log.info("removed %.3g GB that were kept as %s and not used lately", entry.size / GIGABYTE, entry.key)
            used -= entry.size
    if used > limit * GIGABYTE:
        return f"compute.frozen_gigabytes={limit:g} are full with what other processes compute"
    missing = sum(size for key, size in needed.items() if not (place / f"{key}{ABOUT}").exists())
    free = shutil.disk_usage(place).free
    return f"{missing / GIGABYTE:.3g} GB are more than the {free / GIGABYTE:.3g} free at {place}" * (missing > free)


def entries() -> list[Entry]:
    """All that is kept, in order of key; what a killed process left has an empty description."""
    found: dict[str, list[Path]] = {}
    for path in folder().glob("*") if folder().is_dir() else ():
        if path.suffix != LOCK:
            found.setdefault(path.name.lstrip(".").split(".")[0], []).append(path)
    return [_entry(key, paths) for key, paths in sorted(found.items())]


def remove(key: str) -> bool:
    """Remove what is kept under `key`, and what a killed process left; False while a process works on it."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder() / f"{key}{LOCK}", timeout=0):
            for path in _files(key):
                path.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def _files(key: str) -> list[Path]:
    """The description first: without it nothing else counts."""
    return [folder() / f"{key}{ABOUT}", folder() / f"{key}{DATA}", *folder().glob(f".{key}.*")]


def _entry(key: str, paths: list[Path]) -> Entry:
    size, used = 0, 0.0
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:  # removed, or finished, in this moment
            continue
        size, used = size + status.st_size, max(used, status.st_mtime)
    return Entry(key, size, used, _about(key))


def _about(key: str) -> dict[str, Any]:
    """The description of a tensor; empty where there is none that can be read."""
    try:
        found = json.loads((folder() / f"{key}{ABOUT}").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _problem(key: str, shape: tuple[int, ...], dtype: "torch.dtype") -> str:
    """Why what is kept under `key` cannot be used; empty if it can."""
    path, about = folder() / f"{key}{DATA}", _about(key)
    if not path.is_file() or not about:
        return "not whole"
    if (about.get("shape"), about.get("dtype")) != (list(shape), str(dtype)):
        return f"{about.get('shape')} {about.get('dtype')} instead of {list(shape)} {dtype}"
    if (size := path.stat().st_size) != prod(shape) * dtype.itemsize:
        return f"{size} bytes instead of {prod(shape) * dtype.itemsize}"
    return "" if sha256(path) == about.get("sha256") else "its content has changed"


def _write(path: Path, shape: tuple[int, ...], dtype: "torch.dtype", parts: "Iterable[Tensor]", about: str) -> None:
    import torch

    for left in _files(path.stem):  # of a process that was killed, or damaged
        left.unlink(missing_ok=True)
    digest, size = hashlib.sha256(), 0
    with in_one_step(path) as unfinished:
        with unfinished.open("wb") as file:
            for part in parts:
                content = part.detach().to("cpu", dtype).contiguous().flatten().view(torch.uint8).numpy().data
                digest.update(content)
                size += file.write(content)
        if size != prod(shape) * dtype.itemsize:
            raise AssertionError(f"{size} bytes were computed for {path}, and {list(shape)} {dtype} announced")
    said = {"shape": list(shape), "dtype": str(dtype), "sha256": digest.hexdigest(), "about": about}
    with in_one_step(path.with_suffix(ABOUT)) as unfinished:
        unfinished.write_text(as_json(said), encoding="utf-8")


@contextmanager
def _locked(key: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder() / f"{key}{LOCK}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process works on what is kept as %s: waiting for it", key)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
