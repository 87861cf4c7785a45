"""Checks of the published claims themselves, on those of this repository and on made-up ones."""

from pathlib import Path
from typing import Any

from scratchlab.book import experiments, lint


def made_up(claims: list[dict[str, Any]], name: str = "made_up") -> experiments.Experiment:
    return experiments.Experiment(name, Path(f"{name}.yaml"), {"defaults": [], "claims": claims})


def rules(*made: experiments.Experiment) -> list[str]:
    return [finding.rule for finding in lint.check({experiment.name: experiment for experiment in made})]


def test_row_8s_impossible_percentage_is_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "unattainable"]
    assert [(f.experiment, f.metric) for f in found] == [("ch06_row08_xl", "val_accuracy")]
    assert "99.81%" in found[0].text and "99.33%" in found[0].text and "train_accuracy" in found[0].text


def test_the_baselines_of_another_split_are_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "mixed_baseline" and "95.67%" in f.text]
    assert {f.experiment for f in found} == {"ch06_1_pad_to_context", "ch06_2_whole_model", "ch06_3_first_token"}
    assert all("95.00%" in f.text and "ch06_main" in f.text for f in found)
    assert any("+1.67 points, not +1.00" in f.text for f in found)


def test_the_row_that_repeats_another_is_found() -> None:
    found = [f for f in lint.check(experiments.read_all()) if f.rule == "copied"]
    assert [f.experiment for f in found] == ["ch06_row18_ignore_index"] and "ch06_row01_baseline" in found[0].text


def test_duplicates_conflicts_and_unknown_experiments_are_found() -> None:
    score = {"metric": "test_accuracy", "kind": "score", "source": "s", "n": 300}
    assert rules(made_up([score | {"value": 0.95}, score | {"value": 0.95}])) == ["duplicate"]
    assert rules(made_up([score | {"value": 0.95}, score | {"value": 0.96}])) == ["conflict"]
    relation = {"metric": "test_accuracy", "kind": "relation", "source": "s", "versus": "base"}
    base = made_up([score | {"value": 0.95}], "base")
    assert rules(base, made_up([score | {"value": 0.97}, relation | {"direction": "lower"}])) == ["conflict"]
    assert rules(made_up([relation | {"direction": "lower"}])) == ["unknown_experiment"]
    hits = {"metric": "word_count", "kind": "count", "value": 80, "n": 1000, "probability": 0.043, "source": "s"}
    assert rules(made_up([hits])) == ["unlikely_count"]
