"""Sweeps that search: what is varied and which way is better, and that a search given again repeats nothing."""

import logging
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import TINY, command

from scratchlab.cli import search

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")
SMALL = [
    *("task=classify", "data=messages", "data.size=100", "model.emb_dim=16", "model.n_layers=1"),
    *("model.context_length=64", "train.epochs=1", "train.lr=tag(log,interval(1e-5,1e-1))", "position=first,last"),
]


def test_a_metric_says_itself_which_way_is_better(caplog: pytest.LogCaptureFixture) -> None:
    assert [search.direction(name) for name in ("val_loss", "val_accuracy")] == ["minimize", "maximize"]
    assert not caplog.messages
    for name, said in (
        ("", "optimize=; a search needs"),
        ("val_los", "val_loss"),
        ("seed", "a metric that has a better side"),
        ("tokens_seen", "neither more nor less of it is better"),
    ):
        with pytest.raises(ValueError, match=said):
            search.direction(name)


def test_whoever_chooses_by_the_test_split_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert search.direction("test_accuracy") == "maximize"
    assert "no longer measured by it" in caplog.text


@needs_optuna
def test_hydras_words_are_what_is_varied() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    words = [
        *("a=1", "b=x,y", "c=range(1,8,3)", "d=interval(0.0,0.5)", "e=tag(log,interval(1e-5,1e-3))"),
        *("f=int(interval(1,4))", "plan=true", "+g=2"),
    ]
    fixed, varied = search.space(words, {"h": "choice(1,2)", "b": "z"})
    assert fixed == ["a=1", "+g=2"]
    assert varied == {
        "b": CategoricalDistribution(["x", "y"]),
        "c": IntDistribution(1, 7, step=3),
        "d": FloatDistribution(0.0, 0.5),
        "e": FloatDistribution(1e-5, 1e-3, log=True),
        "f": IntDistribution(1, 4),
        "h": CategoricalDistribution(["1", "2"]),
    }
    with pytest.raises(ValueError, match="nothing is varied"):
        search.space(["a=1"], {})


def searching(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return command("-m", "hydra/sweeper=search", "optimize=val_loss", *SMALL, *TINY, *words, cwd=cwd)


@needs_optuna
@pytest.mark.slow
def test_a_search_given_again_repeats_nothing_and_goes_on(tmp_path: Path) -> None:
    first = searching("hydra.sweeper.n_trials=3", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    results = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/*/*/result.json")}
    assert len(results) == 3 and "best of 3:" in first.stdout
    plan = searching("hydra.sweeper.n_trials=5", "plan=true", cwd=tmp_path)
    assert plan.returncode == 0 and "1 further jobs depend on these" in plan.stdout, plan.stdout
    more = searching("hydra.sweeper.n_trials=5", cwd=tmp_path)
    assert more.returncode == 0 and "best of 5:" in more.stdout, more.stderr
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/*/*/result.json")}
    assert len(after) == 5 and {path: after[path] for path in results} == results


def test_without_optuna_a_search_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'scratchlab\[optuna\]'"):
        search._study("minimize", None)  # type: ignore[arg-type]
