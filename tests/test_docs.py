"""What the documentation says is tried: blocks of Python run."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.vocabulary
def test_the_page_about_python_runs_from_its_first_block_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(DOCS / "python.md", "python"):
        exec(compile(block, "python.md", "exec"), names)
    said = capsys.readouterr().out
    assert "nearest: lr" in said and "REPRODUCED" in said
    assert len(list((tmp_path / "outputs" / "quickstart").iterdir())) == 4
