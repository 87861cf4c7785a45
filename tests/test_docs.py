"""What the documentation says is tried: commands compose, blocks of Python run, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from scratchlab.cli import arguments
from scratchlab.launch import compose, jobs
from scratchlab.runs.metrics import METRICS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
FLAGS = ("-m", "--cfg", "--help", "--version", "--config-dir", "job")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks that begin with the command, without what is said about them."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = [
        line
        for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    alone = [re.sub(r"^torchrun [-=\w ]*-m scratchlab ", "scratchlab ", line) for line in found]
    return [line.partition(" #")[0].strip() for line in alone if line.startswith("scratchlab ")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has what the pages name: their own files, and a run that kept its model and its answers."""
    for page in PAGES:
        for block in blocks(page, "yaml"):
            first = block.splitlines()[0].lstrip("# ")
            if re.fullmatch(r"[\w/]+\.yaml", first):
                (tmp_path / first).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / first).write_text(block)
    run = tmp_path / "outputs" / "ch07_main" / "FINGERPRINT"
    (run / "checkpoint").mkdir(parents=True)
    for name in ("config.yaml", "responses.json", "checkpoint/model.safetensors"):
        (run / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_on_a_page_composes(page: Path, here: Path) -> None:
    for line in commands(page):
        words = shlex.split(line)[1:]
        if {"--help", "--version"} & set(words):
            continue
        searched = [
            f"hydra.searchpath=['file://{here / words[i + 1]}']" for i, w in enumerate(words) if w == "--config-dir"
        ]
        places = {words[i + 1] for i, word in enumerate(words) if word == "--config-dir"}
        overrides = [word for word in arguments.prepare(words) if word not in FLAGS and word not in places]
        try:
            if "hydra/sweeper=search" in words:
                with jobs.at_hand():
                    GlobalHydra.instance().hydra.compose_config(compose.PRIMARY, overrides, run_mode=RunMode.MULTIRUN)
                ends = [re.sub(r"=(?:\w+\()*(?:log,)?interval\((.+?)\)+$", r"=\1", word) for word in overrides]
                for one in jobs.expand([word for word in ends if not word.startswith("hydra")]):
                    assert one.config.optimize in METRICS
            elif "-m" in words:
                splits = jobs.split([*searched, *overrides])
                for one in (splits[0], splits[-1]):
                    jobs.job(one)
            else:
                jobs.job([*searched, *overrides])
        except Exception as error:
            raise AssertionError(f"{page.name}: {line}: {error}") from error


def test_there_are_commands_to_try() -> None:
    assert len(commands(ROOT / "README.md")) > 15 and commands(DOCS / "compare.md")
    assert len(commands(DOCS / "devices.md")) == 2  # behind torchrun


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_between_pages_leads_to_one(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.vocabulary
def test_the_pages_about_python_run_from_their_first_block_to_their_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for page in (DOCS / "python.md", ROOT / "README.md"):
        for block in blocks(page, "python"):
            exec(compile(block, page.name, "exec"), names)
    said = capsys.readouterr().out
    assert "nearest: lr" in said and "REPRODUCED" in said
    assert len(list((tmp_path / "outputs" / "quickstart").iterdir())) == 4
