"""A cell that was printed more than once: with which of its prints a number agrees, and replicates as a sample."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats
from synthetic import write_run

from scratchlab import stats
from scratchlab.book import claims, experiments
from scratchlab.evidence.runs import by_name, read_runs
from scratchlab.evidence.verdicts import Decision, Verdict, decide, row

CPU = {"value": 0.391, "device": "CPU", "torch": "2.2.1 to 2.6"}
MPS = {"value": 0.569, "device": "mps", "torch": "2.9"}
LOSS = {"metric": "last_train_loss", "value": 0.391, "kind": "close", "tolerance": 0.05, "source": "made up"}


def judged(out: Path, claim: dict[str, Any], values: dict[int, Any], **more: Any) -> Decision:
    """The verdict on a claim about runs that measured `values`, by seed."""
    for seed, value in values.items():
        write_run(out, "made_up", seed, metrics={claim["metric"]: value}, **more)
    stated = claims.Stated("made_up", claims.parse(claim, "test"))
    found = decide(stated, by_name(read_runs(out)), {})
    return replace(found, notes=tuple(note for note in found.notes if note.startswith(("as ", "against "))))


def test_the_row_says_which_published_environment_a_number_agrees_with(tmp_path: Path) -> None:
    found = judged(tmp_path, LOSS | {"history": [CPU, MPS]}, {123: 0.3905})
    assert found.verdict is Verdict.REPRODUCED
    assert found.notes == ("as printed: 0.391 (CPU, torch 2.2.1 to 2.6); printed otherwise: 0.569 (mps, torch 2.9)",)


def test_a_number_that_is_not_reproduced_may_still_be_as_in_another_print(tmp_path: Path) -> None:
    found = judged(tmp_path, LOSS | {"history": [CPU, MPS]}, {123: 0.58})
    assert found.verdict is Verdict.NOT_REPRODUCED
    assert found.notes[0].startswith("as printed: 0.569 (mps")
    lost = judged(tmp_path / "b", LOSS | {"history": [CPU, MPS]}, {123: 0.8})
    assert lost.notes[0].startswith("as none of its prints: 0.391")


@pytest.mark.parametrize(
    ("claim", "values", "like"),
    [
        ({"metric": "ids", "kind": "exact", "value": [1, 2]}, {123: [1, 2, 3]}, [1, 2, 3]),
        ({"metric": "decoded", "kind": "exact", "value": "a"}, {123: "b"}, "b"),
        ({"metric": "utilization", "kind": "close", "value": [1.0, 2.0]}, {123: [1.0, 2.5]}, [1.0, 2.5]),
        ({"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300}, {1: 0.9, 2: 0.9033, 3: 0.9}, 0.9033),
        ({"metric": "test_accuracy", "kind": "score", "value": 0.95, "n": 300}, {123: 0.9}, 0.9),
    ],
)
def test_every_kind_of_value_is_held_against_each_print(
    claim: dict[str, Any], values: dict[int, Any], like: Any, tmp_path: Path
) -> None:
    history = [{"value": claim["value"], "edition": "first"}, {"value": like, "edition": "second"}]
    found = judged(tmp_path, claim | {"source": "made up", "history": history}, values)
    assert found.notes[-1].startswith("as printed: ") and "(second); printed otherwise: " in found.notes[-1]


def test_no_verdict_depends_on_the_history(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    for number in range(12):
        out = tmp_path / str(number)
        values = {seed: round(0.9 + 0.02 * draw.standard_normal(), 4) for seed in (123, 124, 125)[: 1 + number % 3]}
        claim = {"metric": "test_accuracy", "kind": "score", "value": 0.92, "n": 300, "source": "made up"}
        plain = judged(out, claim, values)
        prints = [{"value": value, "replicate": True} for value in (0.92, 0.93, 0.94)]
        stated = claims.Stated("made_up", claims.parse(claim | {"history": prints}, "test"))
        told = decide(stated, by_name(read_runs(out)), {})
        assert (plain.verdict, plain.reason, plain.p) == (told.verdict, told.reason, told.p)
        assert (told.sample is not None) == (len(values) == 3)


def test_replicates_are_a_sample_from_three_on_and_only_those_of_the_recipe(tmp_path: Path) -> None:
    scores = [48.98, 52.88, 49.45, 51.75]
    claim = {"metric": "judge_score", "kind": "close", "value": 51.75, "tolerance": 0.08, "source": "made up"}
    history = [{"value": value, "replicate": True} for value in scores]
    ours = {123: 57.0, 124: 58.5, 125: 58.0}
    found = judged(tmp_path, claim | {"history": [*history, {"value": 20.0}]}, ours)
    assert found.sample is not None and found.sample.size == 4
    assert found.sample.mean == pytest.approx(np.mean(scores)) and found.sample.interval[0] > 0
    assert "against the 4 published runs" in found.notes[-1] and "unlike" in found.notes[-1]
    entry = claims.parse(claim | {"history": history}, "test")
    assert row(claims.Stated("made_up", entry), found)["sample"]["size"] == 4
    few = judged(tmp_path / "b", claim | {"history": history[:2]}, ours)
    assert few.sample is None and len(few.notes) == 1


def test_two_samples_agree_with_scipy_s_welch_test() -> None:
    draw = np.random.default_rng(1)
    for n, m in ((2, 2), (3, 5), (10, 4)):
        ours, theirs = draw.normal(0, 1, n), draw.normal(0.5, 2, m)
        found = stats.two_samples(ours, theirs)
        wanted = scipy_stats.ttest_ind(ours, theirs, equal_var=False)
        interval = wanted.confidence_interval()
        assert (found.p, found.low, found.high) == pytest.approx((wanted.pvalue, interval.low, interval.high))


def test_samples_without_spread_are_unlike_only_beyond_what_a_grid_hides() -> None:
    assert stats.two_samples([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert stats.two_samples([1.0, 1.0], [2.0, 2.0]).p == 0.0
    step = stats.resolution(300)
    near = stats.two_samples([0.95] * 3, [0.95 + step] * 3, resolution=step)
    assert near.contains(0.0)
    assert not stats.two_samples([0.95] * 3, [0.95 + 5 * step] * 3, resolution=step).contains(0.0)
    with pytest.raises(ValueError, match="theirs has 1 value"):
        stats.two_samples([1.0, 2.0], [1.0])


@pytest.mark.parametrize("wrong", [{"device": "CPU"}, {"value": 1, "machine": "x"}, 0.5])
def test_a_history_that_is_none_is_an_error_that_says_what_is_possible(wrong: Any) -> None:
    with pytest.raises(ValueError, match="possible: mappings with a value, of: value, device"):
        claims.parse(LOSS | {"history": [wrong]}, "a file")
    with pytest.raises(ValueError, match="a history of values, but no value"):
        claims.parse({"metric": "x", "kind": "ratio", "source": "s", "history": [{"value": 1}]}, "a file")


def test_a_history_holds_the_claim_s_own_value_and_says_what_each_print_is() -> None:
    stated = [s for s in claims.of(experiments.read_all().values()) if s.claim.history]
    assert len(stated) > 25
    for s in stated:
        assert s.claim.value in [one.value for one in s.claim.history], s.label
        assert all(one.device or one.edition for one in s.claim.history), s.label
