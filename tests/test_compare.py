"""Comparisons on records whose truth is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import outcomes, write_run

from scratchlab.evidence import compare
from scratchlab.evidence.baseline import choose_baseline
from scratchlab.evidence.flips import flips
from scratchlab.evidence.runs import arms, read_runs
from scratchlab.files import as_json
from scratchlab.report import formats, tables

SEEDS = (123, 124, 125, 126, 127)


def arm(out: Path, name: str, right: int, *, shift: int = 0, seeds: tuple[int, ...] = SEEDS, **more: Any) -> None:
    for place, seed in enumerate(seeds):
        write_run(out, name, seed, (right + (place + shift) % 3 - 1) / 300, **more)


def compared(out: Path, metric: str = "test_accuracy", baseline: str = "baseline") -> dict[str, dict[str, Any]]:
    found = arms(read_runs(out))
    return {row["name"]: row for row in compare.rows(found, choose_baseline(found, baseline), metric)}


def test_no_difference_is_not_called_one(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 285, shift=1)
    row = compared(tmp_path)["variant"]
    assert row["finding"] == "no difference shown"
    assert row["delta"]["interval"][0] < 0 < row["delta"]["interval"][1]


def test_five_points_are_found_and_one_is_not(tmp_path: Path) -> None:
    noise = (-4, 2, 3, -3, 2)  # a standard deviation of one point
    for place, seed in enumerate(SEEDS):
        for shift, (name, right) in enumerate((("baseline", 285), ("five", 270), ("one", 282))):
            write_run(tmp_path, name, seed, (right + noise[(place + shift) % 5]) / 300)
    table = compared(tmp_path)
    assert table["five"]["finding"] == "lower" and table["one"]["finding"] == "no difference shown"
    assert table["five"]["delta"]["value"] == pytest.approx(-0.05)
    assert "one item is 0.33 points" in table["one"]["resolution"]


def test_holm_makes_every_p_larger_or_equal(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    for name, right in (("a", 270), ("b", 280), ("c", 284)):
        arm(tmp_path, name, right, shift=1)
    deltas = [row["delta"] for row in compared(tmp_path).values() if row["delta"]]
    assert len(deltas) == 3 and all(delta["p_holm"] >= delta["p"] for delta in deltas)
    assert min(deltas, key=lambda d: d["p"])["p_holm"] == pytest.approx(3 * min(d["p"] for d in deltas))


def test_means_and_spreads_are_over_seeds(tmp_path: Path) -> None:
    for seed, right in ((1, 282), (2, 285), (3, 288)):
        write_run(tmp_path, "baseline", seed, right / 300)
    found = compared(tmp_path)["baseline"]
    assert found["seeds"] == [1, 2, 3]
    assert found["metrics"]["test_accuracy"]["mean"] == pytest.approx(0.95)
    assert found["metrics"]["test_accuracy"]["spread"] == pytest.approx(0.01)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, seeds=(123,))
    arm(tmp_path, "variant", 200, seeds=(123,))
    row = compared(tmp_path)["variant"]
    assert row["delta"]["interval"] is None and row["delta"]["p"] is None and "one seed" in row["finding"]
    assert row["mcnemar"][0]["p"] < 0.001  # these two models do differ, which says nothing about the method


def test_seeds_that_cannot_be_paired_are_named(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, seeds=SEEDS[:3])
    arm(tmp_path, "variant", 270)
    arm(tmp_path, "alone", 270, seeds=(1, 2))
    table = compared(tmp_path)
    assert table["variant"]["delta"]["seeds"] == [123, 124, 125]
    assert any("126, 127" in note for note in table["variant"]["notes"])
    assert table["alone"]["delta"] is None and "no seed in common" in table["alone"]["notes"][0]


def test_a_diverged_seed_is_counted_apart(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 285, seeds=SEEDS[:4])
    write_run(tmp_path, "variant", 127, metrics={"test_accuracy": "nan"})
    row = compared(tmp_path)["variant"]
    assert row["metrics"]["test_accuracy"]["diverged"] == 1 and row["delta"]["seeds"] == [123, 124, 125, 126]


def test_identical_losses_are_reported_as_no_effect(tmp_path: Path) -> None:
    for name, index in (("baseline", -100), ("variant", 50256)):
        for seed in SEEDS:
            config = {"train": {"ignore_index": index}}
            write_run(tmp_path, name, seed, 0.95, losses=[1.0, float(seed)], config=config)
    row = compared(tmp_path)["variant"]
    assert row["no_effect"] and row["finding"] == "no effect" and row["delta"]["value"] == 0


def test_what_a_run_says_has_no_effect_is_noted(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 285, shift=1, no_effect={"train.ignore_index": "no label has the value"})
    assert "train.ignore_index has no effect: no label has the value" in compared(tmp_path)["variant"]["notes"]


@pytest.mark.parametrize(
    ("what", "ours", "theirs"),
    [
        ("data bytes", {"hashes": {"data": "a"}}, {"hashes": {"data": "b"}}),
        ("batch order", {"hashes": {"batch_order": "a"}}, {"hashes": {"batch_order": "b"}}),
        ("training steps", {"losses": [1.0, 2.0]}, {"losses": [1.0]}),
        ("tokens seen", {"metrics": {"tokens_seen": 10}}, {"metrics": {"tokens_seen": 11}}),
        ("trainable parameters", {"metrics": {"trainable_parameters": 1}}, {"metrics": {"trainable_parameters": 2}}),
        ("more than one setting", {"config": {"a": 1, "b": 1}}, {"config": {"a": 2, "b": 2}}),
    ],
)
def test_a_confounded_pair_raises_the_alarm(
    tmp_path: Path, what: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    arm(tmp_path, "baseline", 285, **theirs)
    arm(tmp_path, "variant", 270, **ours)
    row = compared(tmp_path)["variant"]
    assert any(what in text for text in row["confounds"]) and "CONFOUNDED" in row["finding"]


def test_what_a_setting_rightly_changes_is_no_confound(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, config={"train": {"epochs": 1}}, losses=[1.0], metrics={"tokens_seen": 10})
    arm(tmp_path, "variant", 270, config={"train": {"epochs": 2}}, losses=[1.0, 0.9], metrics={"tokens_seen": 20})
    assert compared(tmp_path)["variant"]["confounds"] == []


def test_flips_are_the_items_that_changed(tmp_path: Path) -> None:
    right = outcomes(0.95, seed=123)
    other = right.copy()
    good, bad = np.flatnonzero(right == 1)[:2], np.flatnonzero(right == 0)[:1]
    other[good], other[bad] = 0, 1
    write_run(tmp_path, "baseline", 123, correct=right)
    write_run(tmp_path, "variant", 123, correct=other)
    variant, baseline = arms(read_runs(tmp_path, "variant"))[0], arms(read_runs(tmp_path, "baseline"))[0]
    found = flips(variant, baseline, "test_accuracy")
    assert {item["index"] for item in found if item["seeds_lost"]} == set(good.tolist())
    assert {item["index"] for item in found if item["seeds_gained"]} == set(bad.tolist())
    assert all(item["probability"] != item["probability_baseline"] for item in found)


def test_arms_of_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    for position in ("first", "last", "mean"):
        arm(tmp_path, "sweep", 270, seeds=(1, 2), config={"position": position})
    found = arms(read_runs(tmp_path))
    assert {one.label for one in found} == {f"position={p}" for p in ("first", "last", "mean")}
    assert choose_baseline(found, "position=last").config["position"] == "last"
    with pytest.raises(ValueError, match="3 arms are"):
        choose_baseline(found, "sweep")
    with pytest.raises(ValueError, match="no such arm"):
        choose_baseline(found, "swept")


def test_the_table_shows_only_settings_that_differ_and_goes_into_every_format(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, config={"position": "last", "train": {"lr": 1e-3}})
    arm(tmp_path, "under_score & more", 270, config={"position": "first", "train": {"lr": 1e-3}})
    rows = list(compared(tmp_path).values())
    columns, cells = tables.cells(rows, "test_accuracy")
    assert "position" in columns and "train.lr" not in columns
    texts = formats.texts(columns, cells, title="t")
    assert (
        "| 94.93 ±" in texts["md"]
        and r"under\_score \& more" in texts["tex"]
        and texts["csv"].startswith("arm,position")
    )
    assert json.loads(as_json(rows))[0]["name"] == "baseline"


def test_another_judge_confounds_judged_metrics_only(tmp_path: Path) -> None:
    def write(name: str, masked: bool, judge: str, loss: float) -> None:
        for seed in (1, 2, 3):
            metrics = {"val_loss": loss + seed / 1000, "judge_score": 50.0 + seed, "judge": {"model": judge}}
            settings = {"mask_instruction": masked, "judge": {"model": judge}}
            write_run(tmp_path, name, seed, metrics=metrics, config=settings)

    write("baseline", False, "llama3", 0.5)
    write("variant", True, "gpt-4", 0.6)
    assert compared(tmp_path, "val_loss")["variant"]["confounds"] == []
    assert "more than one setting differs" in compared(tmp_path, "judge_score")["variant"]["confounds"][0]
