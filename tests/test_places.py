"""A new thing has one place: what docs/building.md says about it is tried, or held against the code."""

import re
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from test_house import LAYERS, SOURCE

from scratchlab.files import resource
from scratchlab.launch import compose
from scratchlab.model import config as model_config
from scratchlab.model import tune
from scratchlab.model.config import LAST_BLOCKS, Trainable
from scratchlab.model.families import make
from scratchlab.runs.registry import TASKS

CONF = resource("conf")
ROOT = CONF.parent
BUILDING = (ROOT / "docs" / "building.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading or a sentence."""
    lines = BUILDING[BUILDING.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|---"))
    table = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def test_the_page_lists_the_layers_in_their_order() -> None:
    listed = [name for cells in rows("From the ground up") for name in re.findall(r"`(\w+)`", cells[0])]
    levels = [next(i for i, layer in enumerate(LAYERS) if name in layer) for name in listed]
    assert levels == sorted(levels)
    assert set(listed) | {"__main__"} == set().union(*LAYERS)


def test_every_place_on_the_page_is_there() -> None:
    for what, where in rows("## To add"):
        for place in re.findall(r"`([\w./]+)`", where):
            assert (SOURCE / place).exists() or (ROOT / place).exists(), f"{what}: {place}"


def test_a_template_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    text = "question: 'Q: {instruction}{input}'\ninput: ' ({input})'\nanswer: ' A: {output}'\n"
    (tmp_path / "prompt" / "mine.yaml").write_text(text)
    found: Any = compose.compose(["experiment=ch07_main", "prompt=mine", f"hydra.searchpath=[file://{tmp_path}]"])
    assert found.prompt.question == "Q: {instruction}{input}"


def test_every_tuning_choice_has_an_option_of_its_name() -> None:
    assert {path.stem for path in (CONF / "tune").glob("*.yaml")} == set(Trainable.__members__)


def test_a_tuning_choice_by_blocks_is_a_member_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class More(Enum):
        last_three_blocks = "last_three_blocks"

    monkeypatch.setitem(LAST_BLOCKS, More.last_three_blocks, 3)  # type: ignore[misc]
    shape = model_config.GPTConfig(vocab_size=11, context_length=8, emb_dim=8, n_heads=2, n_layers=4)
    model = make(shape)
    tune.choose_trainable(model, model_config.TuneConfig(trainable=More.last_three_blocks), new_head=True)  # type: ignore[arg-type]
    assert model.first_trainable() == 2


def test_a_task_is_a_file_a_line_and_an_option() -> None:
    modules = {path.stem for path in (SOURCE / "tasks").glob("*.py")} - {"__init__"}
    assert {task.module for task in TASKS.values()} == modules
    assert {path.stem for path in (CONF / "task").glob("*.yaml")} == set(TASKS)
