"""What a configuration may hold: every value of every task composes, or is refused in one clear error."""

from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from scratchlab.book import experiments
from scratchlab.cli import keys, mistakes
from scratchlab.evidence.reading import seed_list
from scratchlab.launch import compose
from scratchlab.runs import checks, identity, record
from scratchlab.runs.config import Run
from scratchlab.runs.registry import TASKS
from scratchlab.runs.tracking import Tracker

NEEDS = {
    "export": ["run=mine"],
    "chat": ["run=mine"],
    "judge": ["responses=mine.json"],
    "calibrate": ["judge=ollama", "judge.model=llama3"],
    "ablate": ["of=ch06_row10_random", "factors=tune"],
    "golden": ["reason=because"],
}


@cache
def composed(task: str) -> DictConfig:
    """A task's configuration as it comes, what must be given being given; checked by nobody yet."""
    return compose.untyped([f"task={task}"])


def with_value(task: str, key: str, value: Any) -> Run:
    config = composed(task).copy()
    OmegaConf.set_struct(config, False)
    with open_dict(config):
        for word in NEEDS.get(task, []):
            name, _, given = word.partition("=")
            if name != "judge":
                OmegaConf.update(config, name, given)
        OmegaConf.update(config, key, value)
    return compose.typed(config, task)


LEAVES = [(task, key, kind) for task in TASKS for key, kind in keys.kinds(TASKS[task].schema()) if key != "claims"]
NUMBERS = st.sampled_from(
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        1e308,
        -1e308,
        5e-324,
        0,
        -1,
        0.5,
        10**30,
        -(10**30),
        2**63,
        2**31,
        -0.0,
    ]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "a\nb",
            "[red]x[/red]",
            "<b>&",
            "../x",
            "/abs",
            "a/b",
            "${seed}",
            "???",
            "nan",
            "\x00",
            "x" * 3000,
        ]
    ),
    st.text(max_size=20),
)
VALUES = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans(), st.just([]), st.lists(NUMBERS, max_size=3))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(leaf=st.sampled_from(LEAVES), value=VALUES)
def test_any_value_of_any_key_composes_or_gives_one_clear_error(leaf: tuple[str, str, Any], value: Any) -> None:
    task, key, _ = leaf
    refused(task, key, value)


def refused(task: str, key: str, value: Any) -> str:
    """The message that refuses a value, in words of ours; empty where it is taken."""
    try:
        config = with_value(task, key, value)
        checks.check(identity.flatten(config))
        record.folder_of(config)
    except Exception as error:
        message = mistakes.explain(error, [f"task={task}"])
        assert message, f"{task} {key}={value!r}: {type(error).__name__}: {error}"
        return message
    return ""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_number_of_any_task_may_be_infinite_or_none(every: bool) -> None:
    numbers = [(task, key) for task, key, kind in LEAVES if kind in (int, float)]
    if not every:  # a key that many tasks share is tried with one of them
        numbers = [(task, key) for key, task in {key: task for task, key in numbers}.items()]
    for (task, key), value in zip(numbers, cycle((float("nan"), float("inf"), float("-inf")))):  # noqa: B905
        assert key.split(".")[-1] in refused(task, key, value), (task, key, value)


NAMES = [
    "../x",
    "/abs",
    "",
    " ",
    "a/b",
    "a\\b",
    ".",
    "..",
    "x" * 300,
    "ä" * 110,
    "a\nb",
    "a\x00b",
    "a\u2028b",
    "\ud800",
]
PLACES = ["", " ", "a\nb", "a\x00b", "x" * 300, "taken", "taken/below"]


@pytest.mark.parametrize(("key", "value"), [*(("name", name) for name in NAMES), *(("out", out) for out in PLACES)])
def test_a_run_cannot_leave_its_place(key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    Path("taken").write_text("a file")
    assert refused("tokenize", key, value).startswith(f"{key}=")
    config = Run(**{"name": "mine", key: value})  # made from Python, where nothing is composed
    with pytest.raises(ValueError, match=f"^{key}="):
        record.keep(config, lambda *_: {}, changes={}, tracker=Tracker(config.tracking))
    assert [path.name for path in tmp_path.rglob("*")] == ["home", "taken"]


def test_a_place_that_cannot_be_written_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    config = Run(name="mine", out=str(tmp_path / "there"))
    with pytest.raises(OSError, match="out=.*cannot be written.*Permission denied.*possible") as caught:
        record.keep(config, lambda *_: {}, changes={}, tracker=Tracker(config.tracking))
    assert "\n" not in (mistakes.explain(caught.value, []) or "\n")


@pytest.mark.parametrize("seeds", ["5-1", "1-99999999999", "5-", "-", "1,5-1", [3, "x"]])
def test_seeds_that_are_none_are_refused(seeds: object) -> None:
    with pytest.raises(ValueError, match="seeds=.*possible"):
        seed_list(seeds)


@pytest.mark.parametrize("part", ["claims:", "claims: 5", "claims: [5]", "hydra:", "hydra: [1]"])
def test_an_empty_part_of_an_experiment_file_is_told(part: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"defaults:\n  - override /task: count\n{part}\n")
    with pytest.raises(ValueError, match=f"mine.yaml: `{part.split(':')[0]}:` holds"):
        experiments.read(path)


def test_a_report_of_nothing_is_an_error(tmp_path: Path) -> None:
    config = compose.compose(["task=report", "select=nothing*", f"out={tmp_path}"])
    with pytest.raises(ValueError, match="select=nothing.*no run"):
        record.keep(config, TASKS["report"].run, changes={}, tracker=Tracker(config.tracking))
