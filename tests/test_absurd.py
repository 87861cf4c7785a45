"""Values that cannot work are refused in one line, whatever the key, before anything is allocated."""

import math
import os
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
from conftest import GENERATED, TINY, command
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchlab.cli import keys, mistakes, objective
from scratchlab.launch import compose
from scratchlab.model import memory, weights
from scratchlab.model.config import ModelConfig, WeightsConfig
from scratchlab.runs.config import Run
from scratchlab.runs.identity import flatten
from scratchlab.runs.registry import TASKS

CLASSIFY = ["task=classify", *TINY, *GENERATED]
NUMBERS = [
    (task, key, float in (get_args(kind) if isinstance(kind, UnionType) else (kind,)))
    for task, entry in TASKS.items()
    for key, kind in keys.kinds(entry.schema())
    if {int, float} & set(get_args(kind) if isinstance(kind, UnionType) else (kind,))
]
BASE = {"classify": ["data=messages", "data.size=200"], "judge": ["responses=x", "judge=ollama"]}
ODD = ["nan", "inf", "-inf", "1e308", "-1e308", "1e999", "-1", "0", str(10**15), str(10**40), str(-(10**15)), "''"]
TEXTS = ["''", "' '", "'a\\nb'", "'[red]x[/red]'", "'<b>x</b>'", "'%s{}'", "'\\x07'", "null", "[]", "[1,2]", "true"]


def refused(words: list[str]) -> str | None:
    """The line that says what is wrong; None where the values are taken."""
    try:
        config = compose.compose(words)
    except Exception as error:
        said = mistakes.explain(error, words)
        assert said is not None, f"{words}: {type(error).__name__}: {error}"
        return said
    assert isinstance(config, Run)
    floats = [value for value in flatten(config).values() if isinstance(value, float)]
    assert all(math.isfinite(value) and abs(value) < 3.41e38 for value in floats), words
    return None


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.sampled_from(NUMBERS), st.sampled_from([*ODD, *TEXTS]))
def test_any_number_of_any_task_is_taken_or_refused_in_one_line(number: tuple[str, str, bool], value: str) -> None:
    task, key, _ = number
    said = refused([f"task={task}", "name=x", *BASE.get(task, []), f"{key}={value}"])
    assert said is None or (said.strip() and "\n" not in said.strip()), said
    if said is None:
        assert value not in ("nan", "inf", "-inf", "1e308", "-1e308", "1e999", str(10**40)), (key, value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("tune.lora_alpha=1e308", "tune.lora_alpha=1e\\+308: must be a finite number, at most 3.4e"),
        ("model.emb_dim=1000000000000", "model.emb_dim=1000000000000: must be a whole number from -1000000000 to"),
        ("train.batch_size=99999999999", "train.batch_size=99999999999: must be a whole number"),
        ("seed=99999999999999999999", "seed=99999999999999999999: must be a whole number"),
    ],
)
def test_what_no_machine_could_hold_is_refused_with_its_key(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compose.compose([*CLASSIFY, "tune=lora", word])


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for huge in (ModelConfig(emb_dim=10**9, n_heads=10), ModelConfig(vocab_size=10**9), ModelConfig(n_layers=10**6)):
        with pytest.raises(ValueError, match=r"its weights alone take [\d,.]+ GB, and this machine has"):
            weights.build(huge, WeightsConfig())
    small = ModelConfig(emb_dim=8, n_heads=2, n_layers=3, vocab_size=50)
    model, _ = weights.build(small, WeightsConfig())
    assert memory.weights_at_least(small) <= sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(memory, "of_the_machine", lambda: None)
    memory.check_fits(ModelConfig(emb_dim=10**9, n_heads=10))


def test_a_batch_larger_than_the_data_is_told(tmp_path: Path) -> None:
    done = command(*CLASSIFY, "train.batch_size=100000", "model.emb_dim=16", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "train.batch_size" in done.stderr.splitlines()[-1]


def config(**values: Any) -> Run:
    return Run(name="x", **values)


def test_a_sweeper_that_searches_is_told_a_number_of_the_validation_split_or_the_one_asked_for() -> None:
    measured = {"test_accuracy": 0.9, "val_accuracy": 0.8, "val_loss": 1, "ways_equal": True, "order": [1]}
    assert objective.of(config(), measured) == 0.8
    assert objective.of(config(optimize="test_accuracy"), measured) == 0.9
    assert objective.of(config(optimize="val_loss"), measured) == 1.0
    assert math.isnan(objective.of(config(), {"ways_equal": True, "text": "x"}))
    with pytest.raises(ValueError, match="optimize=val_acuracy: .*possible: test_accuracy.*nearest: val_accuracy"):
        objective.of(config(optimize="val_acuracy"), measured)


@pytest.mark.vocabulary
def test_a_search_is_told_a_number_by_every_job_and_goes_on_after_one_that_fails(tmp_path: Path) -> None:
    plugins = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    words = [*CLASSIFY, "model.emb_dim=16", "hydra/sweeper=searching", "optimize=val_loss", "model.context_length=64,8"]
    done = command("-m", *words, cwd=tmp_path, **plugins)
    assert "told 2, of them numbers 1, best 64" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1 and "failed: job 1" in done.stderr and "1 of 2 jobs are done" in done.stderr


def test_options_may_stand_after_experiments_that_are_swept(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    swept = "experiment=ch02_2_stride_2,ch02_2_stride_8"
    listed = command("-m", swept, "--config-dir", "more", "--cfg", "job", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines()[-1].startswith("2 jobs, 2 different runs")
