"""What tests share: real files where they can be had, and runs small enough for seconds."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import Commands

from scratchlab.assets import catalogue
from scratchlab.assets.fetch import Asset, fetch

# before torch is imported: where tests run beside each other, a second thread only takes another test's processor
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = ["weights=random", "model=gpt2_tiny", "tracking=none", "compute.threads=1"]
"""Overrides that bring a fine-tuning experiment down to seconds."""

GENERATED = ["data=messages", "data.size=200", "model.context_length=64", "train.epochs=1"]


def real(asset: Asset) -> Path:
    """The file of an asset that lies at hand; skips the test where it does not."""
    try:
        return fetch(asset, local_only=True)
    except FileNotFoundError:
        pytest.skip(f"{asset.name} is neither in the cache nor in a folder named by SCRATCHLAB_MIRROR")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("same numbers", "tests/test_same_numbers.py")
    group.addoption("--record-numbers", default="", metavar="REASON", help="record the runs that have no values yet")
    group.addoption("--replace-numbers", action="store_true", help="with --record-numbers: those that have, too")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: theirs are the long ones, which nobody should begin when all else is done."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


@pytest.fixture(scope="session", autouse=True)
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What frozen blocks give is kept for the tests alone, in their processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCHLAB_FEATURES", str(tmp_path_factory.mktemp("features")))
        yield


@pytest.fixture
def spam_file() -> Path:
    return real(catalogue.SMS_SPAM)


@pytest.fixture(autouse=True)
def vocabulary(request: pytest.FixtureRequest) -> None:
    """Skip tests marked `vocabulary` where no form of the GPT-2 vocabulary can be had."""
    if request.node.get_closest_marker("vocabulary"):
        from scratchlab.text.tokenizer import gpt2

        try:
            gpt2().encoding  # noqa: B018
        except FileNotFoundError as error:
            pytest.skip(str(error).splitlines()[0])


COMMANDS = Commands()


@pytest.fixture(scope="session", autouse=True)
def forked_commands() -> Iterator[None]:
    yield
    COMMANDS.close()


def command(*words: str, cwd: Path, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `scratchlab` in a process of its own."""
    return COMMANDS.run(words, cwd, os.environ | environment, timeout)
