"""A number in hand among the published ones: what is near, by which tolerance, and what explains the distance."""

import math
from pathlib import Path
from typing import Any

import pytest

from scratchlab.__main__ import run
from scratchlab.book import experiments, explanations
from scratchlab.book.claims import Stated, parse
from scratchlab.evidence.where import places
from scratchlab.launch import compose
from scratchlab.matching import matches
from scratchlab.runs.metrics import METRICS


def asked(line: str, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """What the task returns, and what it says."""
    metrics = run(compose.compose(["task=where", *line.split(), f"out={tmp_path}"]))["metrics"]
    (said,) = tmp_path.glob("where/*/where.txt")
    return {key: value for key, value in metrics.items() if METRICS[key].steady}, said.read_text()


def test_a_number_is_near_the_prints_that_its_device_allows(tmp_path: Path) -> None:
    found, said = asked("of=ch05_main metric=last_val_loss value=6.38", tmp_path)
    assert (found["prints"], found["near"], found["nearest"]) == (3, 1, "ch05_main")
    assert "what usually explains a distance" in said and "issues/57" in said
    assert "issues/635" not in said  # of another device
    _, on_mps = asked("of=ch05_main metric=last_val_loss value=6.38 compute.device=mps", tmp_path / "b")
    assert "issues/635" in on_mps


def test_the_known_fault_of_a_device_explains_only_what_it_makes(tmp_path: Path) -> None:
    line = "of=ch07_main metric=initial_val_loss compute.device=mps value="
    assert "issues/791" in asked(line + "19.92", tmp_path)[1]
    assert "issues/791" not in asked(line + "3.9", tmp_path / "b")[1]


def test_a_share_may_be_given_in_percent(tmp_path: Path) -> None:
    in_percent, said = asked("of=ch06_* value=95.67", tmp_path)
    as_fraction, again = asked("of=ch06_* value=0.9567", tmp_path / "b")
    assert in_percent == as_fraction and said == again and in_percent["nearest"] == "ch06_main"
    assert in_percent["explanations"] == 0  # the very number


def test_a_number_that_nothing_is_near_says_what_is_nearest(tmp_path: Path) -> None:
    found, said = asked("metric=trainable_parameters value=2668066", tmp_path)
    assert (found["near"], found["nearest"]) == (0, "chE_2_lora") and "not usual for any" in said


@pytest.mark.parametrize(
    ("claim", "environment", "tolerance"),
    [
        ({"kind": "exact", "value": 752}, "cpu float32", 0.0),
        ({"kind": "exact", "value": 17.18}, "cpu float32", 0.005),
        ({"kind": "close", "value": 2.012345, "tolerance": 1e-4}, "cpu float32", 2e-4),
        ({"kind": "close", "value": 2.012345, "tolerance": 1e-4}, "mps float32", 2e-3),
        ({"kind": "close", "value": 2.012345, "tolerance": 1e-4}, "bfloat16", 4e-2),
        ({"kind": "close", "value": 0.391, "tolerance": 1e-5}, "cpu float32", 5e-4),
        ({"kind": "score", "value": 0.95, "n": 300, "metric": "test_accuracy"}, "cpu float32", 0.03),
        ({"kind": "count", "value": 32, "n": 1000, "probability": 0.043}, "cpu float32", 27.2),
    ],
)
def test_the_tolerance_is_that_of_the_kind_and_the_device(
    claim: dict[str, Any], environment: str, tolerance: float
) -> None:
    stated = Stated("e", parse({"metric": "parameters", "source": "s"} | claim, "test"))
    name = stated.claim.metric
    (at,) = places([stated], name, float(claim["value"]), environment)
    assert at.near and at.tolerance == pytest.approx(tolerance, rel=0.05)
    (beyond,) = places([stated], name, claim["value"] + 1.2 * tolerance + 1e-9, environment)
    assert not beyond.near and beyond.times > 1
    assert math.isfinite(beyond.times) is (tolerance > 0)


def test_what_cannot_be_asked_is_an_error_that_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="metric=test_acuracy.*nearest: test_accuracy"):
        asked("metric=test_acuracy", tmp_path)
    with pytest.raises(Exception, match="percent up to 100"):
        asked("value=200", tmp_path)
    with pytest.raises(ValueError, match="no number was published of that; there are: .*test_accuracy"):
        asked("of=ch06_main metric=judge_score", tmp_path)


def test_every_explanation_is_about_experiments_and_metrics_that_are_there_and_has_a_source() -> None:
    known = experiments.paths()
    for one in explanations.read():
        assert any(matches(name, one.of) for name in known), one.of
        assert any(matches(name, one.metrics) for name in METRICS), one.metrics
        assert one.source and one.text
