"""What a row says of the runs behind it: who does not speak, what they do not share, what their files do not give."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import outcomes, write_run

from scratchlab.__main__ import run
from scratchlab.assets import catalogue
from scratchlab.book import claims, experiments
from scratchlab.evidence import compare
from scratchlab.evidence.runs import arms, by_name, read_run, read_runs
from scratchlab.evidence.verdicts import Decision, Verdict, decide
from scratchlab.evidence.verdicts.speaking import otherwise
from scratchlab.launch import compose
from scratchlab.launch.published import Compositions
from scratchlab.runs.identity import fingerprint, plain
from scratchlab.tasks.report import Report

PUBLISHED = Compositions()


def verdict(out: Path, name: str, **claim: Any) -> Decision:
    entry = {"source": "made up", "kind": "score", "metric": "test_accuracy", "value": 0.95, "n": 300} | claim
    return decide(claims.Stated(name, claims.parse(entry, "test")), by_name(read_runs(out)), {})


def notes(out: Path, name: str, metric: str = "test_accuracy") -> str:
    """What compare's row of an arm says, against an arm called baseline."""
    found = {arm.name: arm for arm in arms(read_runs(out))}
    rows = compare.rows(list(found.values()), found["baseline"], metric)
    return " | ".join(next(row for row in rows if row["name"] == name)["notes"])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three good runs of an arm called baseline."""
    for seed in (1, 2, 3):
        write_run(tmp_path, "baseline", seed, 0.95)
    return tmp_path


def test_compare_tells_in_the_row_which_runs_of_an_arm_are_not_in_it(out: Path) -> None:
    for seed in (1, 2, 3):
        write_run(out, "variant", seed, 0.95)
    write_run(out, "variant", 4, status="failed", error="FloatingPointError: nan")
    write_run(out, "variant", 5, metrics={"val_loss": 1.0})
    told = notes(out, "variant")
    assert "survivors only: seed 4 came to no end (failed: FloatingPointError: nan)" in told
    assert "seed 5 does not speak: its record has no metric test_accuracy" in told


def test_compare_tells_devices_versions_and_two_results_of_one_seed(out: Path) -> None:
    write_run(out, "variant", 1, 0.95, versions={"torch": "2.12"})
    write_run(out, "variant", 2, 0.95, device="cuda NVIDIA H100")
    write_run(out, "variant", 3, 0.90, config={"tracking": {"mode": "none"}})
    write_run(out, "variant", 3, 0.95, started="2026-02-01T00:00:00+00:00")
    told = notes(out, "variant")
    assert "different devices: cpu, cuda NVIDIA H100" in told and "versions of torch: 2.12, 2.13" in told
    assert "seed 3 of variant has 2 records that differ (90.00%, 95.00%); the last one speaks" in told


def test_compare_tells_a_number_that_is_not_of_its_predictions_and_leaves_it_out(out: Path) -> None:
    for seed in (1, 2, 3):
        folder = write_run(out, "variant", seed, 0.8)
        content = json.loads((folder / "result.json").read_text())
        content["metrics"]["test_accuracy"] = 0.95
        (folder / "result.json").write_text(json.dumps(content))
    told = notes(out, "variant")
    assert "seed 2 does not speak: test_accuracy is said to be 0.95, its predictions give 0.8" in told
    assert "no finite test_accuracy on a common seed" in told


def test_compare_tells_a_configuration_that_its_fingerprint_does_not_fit(tmp_path: Path) -> None:
    config = compose.compose(["experiment=ch06_row10_random"])
    write_run(tmp_path, "baseline", 123, 0.95)
    write_run(tmp_path, config.name, 123, 0.95, config=plain(config), fingerprint="0" * 12)
    right = fingerprint(config)
    assert f"its fingerprint is 000000000000, its config.yaml gives {right}" in notes(tmp_path, config.name)


def test_an_accuracy_without_predictions_is_said_to_stand_in_the_record_alone(out: Path) -> None:
    (read_runs(out)[0].folder / "predictions.csv").unlink()
    found = verdict(out, "baseline")
    assert found.verdict is Verdict.REPRODUCED
    assert any("stands in the record alone: no predictions were kept" in note for note in found.notes)


def test_predictions_of_another_split_do_not_give_an_accuracy(out: Path) -> None:
    for record in read_runs(out):
        path = record.folder / "predictions.csv"
        path.write_text(path.read_text().replace("test,", "val,"))
    found = verdict(out, "baseline")
    assert found.verdict is Verdict.NOT_COMPARABLE and "none are of the split test" in found.reason


def test_a_share_of_another_number_of_items_than_the_published_one_is_no_such_score(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_run(tmp_path, "few", seed, correct=outcomes(0.95, seed=seed, items=20))
    found = verdict(tmp_path, "few")
    assert found.verdict is Verdict.NOT_COMPARABLE and "of 20 items, the published one of 300" in found.reason


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([40, 60, None], ""),
        ([10, 20, 30], "judge_score is said to be 50.0, its scores give 20.0"),
        ([50, 50, 50], "judge_scored is said to be 2, its scores give 3"),
        (None, "judge_score cannot be held against its scores (scores.json: TypeError"),
    ],
)
def test_a_judged_score_that_its_own_scores_do_not_give_is_told(tmp_path: Path, scores: Any, said: str) -> None:
    folder = write_run(tmp_path, "judged", 1, metrics={"judge_score": 50.0, "judge_scored": 2, "judge_unparsed": 1})
    items = "much" if scores is None else [{"index": i, "score": score} for i, score in enumerate(scores)]
    (folder / "scores.json").write_text(json.dumps({"judge": {}, "items": items}))
    problems = "; ".join(read_run(folder).problems)
    assert said in problems and bool(said) == bool(problems)


@pytest.mark.parametrize(
    ("metric", "ours", "theirs", "said"),
    [
        ("val_loss", {"data": {"train_fraction": 0.5}}, {"data": {"train_fraction": 0.9}}, "data.train_fraction"),
        ("val_loss", {"mask_instruction": True}, {"mask_instruction": False}, "other targets (mask_instruction)"),
        ("chrf", {"data": {"size": 100}}, {"data": {"size": 0}}, "other test items (data.size"),
    ],
)
@pytest.mark.parametrize("kind", ["relation", "ratio"])
def test_numbers_over_other_items_or_targets_are_no_pair_in_relations_and_ratios(
    tmp_path: Path, metric: str, ours: dict[str, Any], theirs: dict[str, Any], said: str, kind: str
) -> None:
    for name, config in (("variant", ours), ("baseline", theirs)):
        for seed in (1, 2, 3):
            write_run(tmp_path, name, seed, config=config, metrics={metric: 0.5 + seed / 100})
    more = {"value": None, "n": 0, "direction": "lower"}
    found = verdict(tmp_path, "variant", metric=metric, kind=kind, versus="baseline", **more)
    assert found.verdict is Verdict.NOT_COMPARABLE and said in found.reason


def test_compare_takes_a_metric_that_can_be_compared_where_losses_cannot(tmp_path: Path) -> None:
    from scratchlab.evidence.baseline import choose_metric

    for name, masked in (("variant", True), ("baseline", False)):
        write_run(tmp_path, name, 1, config={"mask_instruction": masked}, metrics={"val_loss": 1.0, "chrf": 0.5})
    variant, baseline = (next(a for a in arms(read_runs(tmp_path)) if a.name == n) for n in ("variant", "baseline"))
    assert choose_metric([baseline, variant], baseline, "") == "chrf"


@pytest.mark.parametrize(("position", "speaks"), [("last_real", True), ("mean", True), ("last", False)])
def test_of_a_swept_setting_the_values_of_the_sweep_are_as_published_and_no_others(
    tmp_path: Path, position: str, speaks: bool
) -> None:
    config = compose.compose(["experiment=quickstart", f"position={position}"])
    mark = fingerprint(config)
    folder = write_run(tmp_path, config.name, 123, 0.95, config=plain(config), fingerprint=mark)
    found = otherwise(read_run(folder), experiments.read_named("quickstart"), PUBLISHED)
    assert found == ("" if speaks else f"altered: position={position}")


def test_random_weights_are_not_those_that_a_configuration_names(tmp_path: Path) -> None:
    config = compose.compose(["experiment=ch06_row01_baseline"])
    mark, experiment = fingerprint(config), experiments.read_named("ch06_row01_baseline")
    for weights, said in (("random", "the hash of the weights says random"), ("e" * 64, "")):
        hashes = {"data": catalogue.SMS_SPAM.sha256, "weights": weights}
        out = tmp_path / weights
        folder = write_run(out, config.name, 123, 0.95, config=plain(config), fingerprint=mark, hashes=hashes)
        assert otherwise(read_run(folder), experiment, PUBLISHED).endswith(said)
        assert bool(otherwise(read_run(folder), experiment, PUBLISHED)) == bool(said)


def test_true_is_no_count(tmp_path: Path) -> None:
    write_run(tmp_path, "counts", 123, metrics={"exercises": True})
    found = verdict(tmp_path, "counts", metric="exercises", kind="exact", value=1, n=0)
    assert found.verdict is Verdict.NOT_REPRODUCED


def test_the_text_of_an_experiment_may_hold_a_comma_and_no_other_text_is_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiments").mkdir()
    own = "defaults: [override /task: tokenize]\ntext: one, two\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(own)
    monkeypatch.chdir(tmp_path)
    for words, said in (([], ""), (["text=three"], "altered: text=three")):
        config = compose.compose(["experiment=mine", *words])
        more = {"task": "tokenize", "fingerprint": fingerprint(config)}
        folder = write_run(tmp_path / "out", "mine", 123, config=plain(config), **more)
        assert otherwise(read_run(folder), experiments.read_named("mine"), PUBLISHED) == said


@pytest.mark.parametrize(("data", "said"), [("", "other data: spam has no hash"), ("e" * 64, "used different data")])
def test_a_run_on_a_published_file_shows_by_hash_that_it_was_that_file(tmp_path: Path, data: str, said: str) -> None:
    name = "ch06_row10_random"
    for seed in (123, 124, 125):
        config = compose.compose([f"experiment={name}", f"seed={seed}"])
        hashes = {"weights": "random", "data": catalogue.SMS_SPAM.sha256}
        if seed == 125:
            hashes = {"weights": "random"} | ({"data": data} if data else {})
        mark = fingerprint(config)
        write_run(tmp_path, name, seed, 0.9367, config=plain(config), fingerprint=mark, hashes=hashes)
    entry = {"metric": "test_accuracy", "source": "made up", "kind": "score", "value": 0.9367, "n": 300}
    stated = claims.Stated(name, claims.parse(entry, "test"))
    found = decide(stated, by_name(read_runs(tmp_path)), experiments.read_all(), PUBLISHED)
    assert found.verdict is Verdict.NOT_COMPARABLE and said in found.reason


def test_the_page_says_how_many_misses_chance_explains_and_which_runs_came_to_no_end(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        claim = {"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300, "source": "made up"}
        write_run(tmp_path, "good", seed, 0.95, claims=[claim])
    write_run(tmp_path, "lost", 1, status="interrupted")
    page = (Path(run(Report(name="report", out=str(tmp_path)))["folder"]) / "report.html").read_text()
    assert re.search(r"0 NOT_REPRODUCED among 1 claims that are tested .*; 0 to \d are expected by chance", page)
    assert "<li>not in the table: lost seed 1: interrupted</li>" in page
