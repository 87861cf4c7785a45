"""What is shown by what: the rules of verdicts on records whose truth is known."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import outcomes, write_run

from scratchlab.__main__ import run as run_task
from scratchlab.book import claims, experiments
from scratchlab.evidence import compare
from scratchlab.evidence.baseline import choose_baseline
from scratchlab.evidence.runs import arms, by_name, read_runs
from scratchlab.evidence.verdicts import Decision, Verdict, decide, misses
from scratchlab.report import tables
from scratchlab.tasks.reproduce import Reproduce

SEEDS = (123, 124, 125, 126, 127)


def verdict(out: Path, name: str = "variant", **claim: Any) -> Decision:
    entry = {"metric": "test_accuracy", "source": "made up", "n": 300} | claim
    stated = claims.Stated(name, claims.parse(entry, "test"))
    return decide(stated, by_name(read_runs(out)), experiments.read_all())


def runs(out: Path, name: str, values: dict[int, float], metric: str = "test_accuracy", **more: Any) -> None:
    for seed, value in values.items():
        if metric == "test_accuracy":
            write_run(out, name, seed, value, **more)
        else:
            write_run(out, name, seed, metrics={metric: value}, **more)


def compared(out: Path) -> dict[str, dict[str, Any]]:
    found = arms(read_runs(out))
    return {row["name"]: row for row in compare.rows(found, choose_baseline(found, "baseline"), "test_accuracy")}


@pytest.mark.parametrize(
    ("kind", "metric", "value", "measured"),
    [
        ("exact", "texts", "an effort", "another text"),
        ("close", "last_val_loss", 6.455, 6.7),
        ("close", "last_val_loss", 6.455, math.nan),
        ("exact", "batch_losses", [0.5, 0.2], [0.4, 0.1]),
    ],
)
def test_a_number_of_one_seed_has_not_run_while_the_published_seed_has_not(
    tmp_path: Path, kind: str, metric: str, value: Any, measured: Any
) -> None:
    runs(tmp_path, "variant", {124: measured}, metric)
    found = verdict(tmp_path, kind=kind, metric=metric, value=value, n=0)
    assert found.verdict is Verdict.NOT_RUN and "experiment=variant seed=123" in found.reason
    runs(tmp_path, "variant", {123: value}, metric)
    assert verdict(tmp_path, kind=kind, metric=metric, value=value, n=0).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(("measured", "expected"), [(2360064, "REPRODUCED"), (2360065, "NOT_REPRODUCED")])
def test_a_number_that_no_seed_moves_is_judged_by_any_seed(tmp_path: Path, measured: int, expected: str) -> None:
    runs(tmp_path, "variant", {124: measured}, "attention_parameters")
    found = verdict(tmp_path, kind="exact", metric="attention_parameters", value=2360064, n=0)
    assert found.verdict.name == expected


def test_two_other_seeds_that_agree_to_the_last_bit_show_that_no_seed_moves_a_loss(tmp_path: Path) -> None:
    runs(tmp_path, "variant", {124: 3.7547486, 125: 3.7547486}, "train_loss")
    assert verdict(tmp_path, kind="close", metric="train_loss", value=3.7547485, n=0).verdict is Verdict.REPRODUCED
    runs(tmp_path, "other", {124: 3.7547486, 125: 3.7547487}, "train_loss")
    found = verdict(tmp_path, "other", kind="close", metric="train_loss", value=3.7547485, n=0)
    assert found.verdict is Verdict.NOT_RUN


@pytest.mark.parametrize("values", [(0.95, 0.95), (292 / 300, 292 / 300), (270 / 300, 270 / 300)])
def test_two_seeds_decide_no_score(tmp_path: Path, values: tuple[float, ...]) -> None:
    runs(tmp_path, "variant", dict(zip((124, 125), values, strict=True)))
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and "needs 3 seeds" in found.reason and found.seeds_needed == 6


def test_a_reproduced_score_says_within_what_of_one_run(tmp_path: Path) -> None:
    runs(tmp_path, "variant", {123: 284 / 300, 124: 285 / 300, 125: 286 / 300})
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.REPRODUCED and "within ±1.66 points of one run" in found.reason
    assert found.within == pytest.approx(4.3027 * (1 / 300) * math.sqrt(4 / 3), rel=1e-4)


@pytest.mark.parametrize(
    ("device", "right", "expected"), [("cpu", 281, True), ("cpu", 282, False), ("cuda:0 NVIDIA H100", 281, None)]
)
def test_the_published_seed_on_the_reference_environment_repeats_or_does_not(
    tmp_path: Path, device: str, right: int, expected: bool | None
) -> None:
    runs(tmp_path, "variant", {123: right / 300}, device=device)
    found = verdict(tmp_path, kind="score", value=0.9367)
    assert found.verdict is Verdict.INCONCLUSIVE and found.repetition is expected
    assert any("repetition" in note for note in found.notes) is (expected is not None)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((32,), "REPRODUCED"),
        ((32, 200, 200, 200, 200), "NOT_REPRODUCED"),
        ((32, 43, 40, 47, 44), "REPRODUCED"),
        ((44, 3, 83, 43, 43), "NOT_REPRODUCED"),
    ],
)
def test_every_seed_speaks_about_a_count(tmp_path: Path, counts: tuple[int, ...], expected: str) -> None:
    runs(tmp_path, "variant", dict(zip(SEEDS, counts, strict=False)), "word_count")
    found = verdict(tmp_path, kind="count", metric="word_count", value=32, n=1000, probability=0.043)
    assert found.verdict.name == expected and found.seeds == SEEDS[: len(counts)]


def made(miss: int, of: int, *, certain: int = 0, p: float = 0.03, same: int = 3) -> tuple[int, str]:
    """What counts for the exit code among so many score claims, three of each experiment, and what is said."""
    claim = claims.parse({"metric": "test_accuracy", "kind": "score", "value": 0.9, "source": "s"}, "test")
    found = []
    for place in range(of):
        bad = place < miss
        one = Decision(Verdict["NOT_REPRODUCED" if bad else "REPRODUCED"], "", chance=0.05, p=p if bad else None)
        found.append((claims.Stated(f"e{place // same}", claim), one))
    found += [(claims.Stated("x", claim), Decision(Verdict.NOT_REPRODUCED, ""))] * certain
    told = misses(found)
    return told.beyond_chance, " ".join(told.lines())


def test_the_misses_that_chance_explains_do_not_make_the_exit_code_1() -> None:
    counted, said = made(3, 57)
    assert counted == 0 and "3 NOT_REPRODUCED among 57" in said and "0 to 9 are expected by chance" in said
    assert made(12, 57)[0] == 12


def test_one_miss_that_is_far_too_large_counts_in_any_family_and_a_single_claim_has_none_to_share_with() -> None:
    assert made(1, 57, p=1e-5)[0] == 1 and made(1, 57, p=1e-3)[0] == 0
    assert made(1, 1)[0] == 1 and made(1, 2)[0] == 0
    assert made(3, 3)[0] == 3


def test_misses_in_which_chance_has_no_part_always_count() -> None:
    counted, said = made(0, 57, certain=1)
    assert counted == 1 and "chance has no part" in said


def test_the_exit_code_rests_on_what_chance_does_not_explain(tmp_path: Path) -> None:
    def ends(value: float, name: str) -> int:
        draw = np.random.default_rng(0)
        for number in range(6):
            entry = {"metric": "test_accuracy", "kind": "score", "n": 300, "source": "s"}
            told = [entry | {"value": value if number else 0.9633}]  # the first is somewhat off by bad luck
            for seed in SEEDS:
                right = 285 + int(draw.integers(-1, 2))
                write_run(tmp_path / name, f"e{number}", seed, right / 300, claims=told)
        result = run_task(Reproduce(name="reproduce", out=str(tmp_path / name), select="e*", claim="e?:*"))
        rows = json.loads((Path(result["folder"]) / "verdicts.json").read_text())
        assert isinstance(rows, list) and [row["verdict"] for row in rows].count("NOT_REPRODUCED") >= 1
        return int(result["exit_code"])

    assert ends(0.95, "true") == 0
    assert ends(0.90, "false") == 1


def pairs(out: Path, gains: tuple[int, ...]) -> None:
    for seed, gain in zip(SEEDS, gains, strict=False):
        write_run(out, "baseline", seed, 270 / 300)
        write_run(out, "variant", seed, (270 + gain) / 300)


def relation(out: Path, direction: str = "higher", margin: float = 0.0) -> Decision:
    return verdict(out, kind="relation", versus="baseline", direction=direction, margin=margin)


def test_the_advice_on_seeds_is_a_range_for_a_declared_effect_and_not_for_the_gap_that_was_seen(tmp_path: Path) -> None:
    pairs(tmp_path / "a", (6, -6, 6, -6, 1))
    pairs(tmp_path / "b", (10, -2, 10, -2, 5))  # the same spread, another gap
    a, b = relation(tmp_path / "a"), relation(tmp_path / "b")
    assert a.verdict is b.verdict is Verdict.INCONCLUSIVE
    assert (a.seeds_needed, a.seeds_assured) == (b.seeds_needed, b.seeds_assured)
    assert a.seeds_needed and a.seeds_assured and a.seeds_needed < a.seeds_assured
    assert "if the true difference is 3.00 points" in a.reason


def test_a_relation_is_decided_at_a_level_that_allows_for_added_seeds(tmp_path: Path) -> None:
    pairs(tmp_path, (2, 6, 10, 6, 6))  # t = 4.7, beyond 2.78 of one look and short of the 5.0 of many
    found = relation(tmp_path)
    assert found.verdict is Verdict.INCONCLUSIVE and "added one at a time" in found.test


def test_two_pairs_decide_no_relation(tmp_path: Path) -> None:
    pairs(tmp_path, (20, 20))
    for direction, margin in (("higher", 0.0), ("lower", 0.0), ("same", 0.01), ("same", 0.2)):
        found = relation(tmp_path, direction, margin)
        assert found.verdict is Verdict.INCONCLUSIVE and "3 seeds in common" in found.reason


def test_no_effect_is_seen_on_the_common_seeds(tmp_path: Path) -> None:
    for name, seeds in (("baseline", (123, 124, 125)), ("variant", (124, 125, 126))):
        for seed in seeds:
            write_run(tmp_path, name, seed, correct=outcomes(0.95, seed=seed), losses=[1.0, float(seed)])
    row = compared(tmp_path)["variant"]
    assert row["finding"] == "no effect"
    assert any("on the common seeds 124, 125" in note for note in row["notes"])


@pytest.mark.parametrize(
    ("seeds", "finding"), [((123,), "one seed: cannot tell"), ((123, 124), "two seeds: cannot tell")]
)
def test_one_and_two_seeds_cannot_tell_and_do_not_say_that_there_is_no_difference(
    tmp_path: Path, seeds: tuple[int, ...], finding: str
) -> None:
    for seed, right in zip(seeds, (190, 140), strict=False):
        write_run(tmp_path, "baseline", seed, 285 / 300)
        write_run(tmp_path, "variant", seed, right / 300)
    assert compared(tmp_path)["variant"]["finding"] == finding


def test_a_large_difference_in_a_wide_interval_is_not_called_no_difference(tmp_path: Path) -> None:
    for seed, right in zip(SEEDS, (290, 30, 285), strict=False):
        write_run(tmp_path, "baseline", seed, 285 / 300)
        write_run(tmp_path, "variant", seed, right / 300)
    assert compared(tmp_path)["variant"]["finding"] == "3 seeds with this spread: cannot tell"


def test_arms_with_one_seed_show_the_interval_over_items_and_call_it_so(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 123, 285 / 300)
    write_run(tmp_path, "variant", 123, 255 / 300)
    row = compared(tmp_path)["variant"]
    low, high = row["delta"]["interval_items"]
    assert row["delta"]["interval"] is None and low < -0.1 < high < 0
    assert "one seed: on other items, these two models differ by" in tables.notes(row)
