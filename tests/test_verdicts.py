"""Verdicts on records whose truth is known."""

import math
from pathlib import Path
from typing import Any

import pytest
from synthetic import outcomes, write_run

from scratchlab.assets import catalogue
from scratchlab.book import claims, experiments
from scratchlab.evidence.runs import by_name, read_runs
from scratchlab.evidence.verdicts import Decision, decide
from scratchlab.evidence.verdicts.outcome import Verdict

SEEDS = (123, 124, 125, 126, 127)
NOISE = (-1, 0, 1, 0, 0)
"""Messages by which the runs of one arm scatter around its accuracy."""


def arm(out: Path, name: str, right: int, *, seeds: tuple[int, ...] = SEEDS, shift: int = 0, **more: Any) -> None:
    """An arm that has `right` of 300 messages right, give or take one, seed by seed."""
    for place, seed in enumerate(seeds):
        noise = NOISE[(place + shift) % len(NOISE)]
        write_run(out, name, seed, (right + noise) / 300, **more)


def verdict(out: Path, name: str = "variant", **claim: Any) -> Decision:
    entry = {"metric": "test_accuracy", "source": "made up", "n": 300} | claim
    stated = claims.Stated(name, claims.parse(entry, "test"))
    return decide(stated, by_name(read_runs(out)), experiments.read_all())


def relation(out: Path, direction: str, margin: float = 0.0) -> Decision:
    return verdict(out, kind="relation", versus="baseline", direction=direction, margin=margin)


def test_a_score_that_the_runs_scatter_around_is_reproduced(tmp_path: Path) -> None:
    arm(tmp_path, "variant", 285)
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.REPRODUCED
    assert found.seeds == SEEDS and found.interval is not None and found.interval[0] < 0.95 < found.interval[1]


def test_a_score_five_points_off_is_not_reproduced(tmp_path: Path) -> None:
    arm(tmp_path, "variant", 285)
    assert verdict(tmp_path, kind="score", value=0.9).verdict is Verdict.NOT_REPRODUCED


def test_noise_cannot_pass_a_score_because_the_width_is_capped(tmp_path: Path) -> None:
    for seed, right in zip(SEEDS, (255, 270, 285, 295, 265), strict=True):
        write_run(tmp_path, "variant", seed, right / 300)
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and "too wide" in found.reason


def test_a_wide_interval_says_how_many_seeds_would_do(tmp_path: Path) -> None:
    for seed, right in ((123, 282), (124, 285), (125, 288)):  # sd 1 point: six seeds, docs/statistics.md
        write_run(tmp_path, "variant", seed, right / 300)
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and found.seeds_needed == 6


def test_one_seed_is_inconclusive_even_if_it_hits_the_number(tmp_path: Path) -> None:
    write_run(tmp_path, "variant", 123, 0.95)
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.INCONCLUSIVE and found.seeds_needed and found.seeds_needed > 1


def test_one_seed_counts_when_it_is_grossly_off(tmp_path: Path) -> None:
    write_run(tmp_path, "variant", 123, 0.6)
    assert verdict(tmp_path, kind="score", value=0.95).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize("value", [math.nan, "nan"])
def test_a_run_that_diverged_did_not_reproduce_a_score(tmp_path: Path, value: object) -> None:
    arm(tmp_path, "variant", 285)
    write_run(tmp_path, "variant", 128, metrics={"test_accuracy": value})
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.NOT_REPRODUCED and "128" in found.reason


def test_a_collapse_does_not_pass_for_a_lower_accuracy(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 150, metrics={"train_loss": math.nan})
    assert relation(tmp_path, "lower").verdict is Verdict.NOT_REPRODUCED


def test_a_baseline_that_diverged_leaves_a_relation_open(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, metrics={"train_loss": math.nan})
    arm(tmp_path, "variant", 150)
    assert relation(tmp_path, "lower").verdict is Verdict.INCONCLUSIVE


def test_five_points_lower_is_found(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 270, shift=1)
    assert relation(tmp_path, "lower", 0.03).verdict is Verdict.REPRODUCED
    assert relation(tmp_path, "higher").verdict is Verdict.NOT_REPRODUCED


def test_a_small_gain_that_the_seeds_cannot_show_is_inconclusive_and_says_what_they_could(tmp_path: Path) -> None:
    for seed, base, gain in zip(SEEDS, (285, 283, 287, 284, 286), (9, -4, 6, -2, 6), strict=True):
        write_run(tmp_path, "baseline", seed, base / 300)
        write_run(tmp_path, "variant", seed, (base + gain) / 300)
    found = relation(tmp_path, "higher", 0.005)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.detectable and found.detectable > 0.01 and "seeds find a difference from" in found.reason


def test_no_difference_is_shown_as_sameness_not_as_absence_of_significance(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 285, shift=1)
    assert relation(tmp_path, "same", 0.02).verdict is Verdict.REPRODUCED
    assert relation(tmp_path, "higher", 0.01).verdict is Verdict.NOT_REPRODUCED
    assert relation(tmp_path, "same", 0.002).verdict is Verdict.INCONCLUSIVE


def test_five_points_apart_is_not_the_same(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285)
    arm(tmp_path, "variant", 270, shift=1)
    assert relation(tmp_path, "same", 0.02).verdict is Verdict.NOT_REPRODUCED


def test_one_pair_of_seeds_leaves_every_relation_open(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, seeds=(123,))
    arm(tmp_path, "variant", 200, seeds=(123,))
    assert relation(tmp_path, "lower").verdict is Verdict.INCONCLUSIVE
    assert relation(tmp_path, "same", 0.02).verdict is Verdict.INCONCLUSIVE


def test_seeds_that_only_one_arm_has_are_left_out(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, seeds=SEEDS[:3])
    arm(tmp_path, "variant", 270)
    found = relation(tmp_path, "lower", 0.02)
    assert found.seeds == SEEDS[:3] and any("126,127" in note for note in found.notes)


def test_arms_without_a_common_seed_are_not_run(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, seeds=(123, 124))
    arm(tmp_path, "variant", 270, seeds=(125, 126))
    found = relation(tmp_path, "lower")
    assert found.verdict is Verdict.NOT_RUN and "seed=125,126" in found.reason


def test_equal_predictions_are_the_same_and_said_to_have_had_no_effect(tmp_path: Path) -> None:
    for name in ("baseline", "variant"):
        for seed in SEEDS:
            write_run(tmp_path, name, seed, correct=outcomes(0.95, seed=seed), losses=[1.0, 0.5, float(seed)])
    found = relation(tmp_path, "same", 0.01)
    assert found.verdict is Verdict.REPRODUCED and "no effect" in found.notes[0]
    assert relation(tmp_path, "lower", 0.05).verdict is Verdict.NOT_REPRODUCED


def test_an_altered_configuration_is_not_comparable(tmp_path: Path) -> None:
    arm(tmp_path, "variant", 285, changes={"train.epochs": 1})
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.NOT_COMPARABLE and "train.epochs=1" in found.reason


def test_unaltered_runs_speak_although_altered_ones_lie_beside_them(tmp_path: Path) -> None:
    arm(tmp_path, "variant", 285)
    arm(tmp_path, "variant", 150, changes={"train.epochs": 1}, config={"train": {"epochs": 1}})
    assert verdict(tmp_path, kind="score", value=0.95).verdict is Verdict.REPRODUCED


def test_runs_of_one_name_that_differ_silently_are_not_comparable(tmp_path: Path) -> None:
    arm(tmp_path, "variant", 285, seeds=SEEDS[:3], config={"train": {"lr": 1e-3}})
    arm(tmp_path, "variant", 285, seeds=SEEDS[3:], config={"train": {"lr": 1e-4}})
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.NOT_COMPARABLE and "train.lr" in found.reason


def test_other_data_are_not_comparable(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, hashes={"data": "a" * 64})
    arm(tmp_path, "variant", 270, hashes={"data": "b" * 64})
    assert relation(tmp_path, "lower").verdict is Verdict.NOT_COMPARABLE


def test_data_that_are_not_the_published_file_are_not_comparable(tmp_path: Path) -> None:
    config = {"data": {"source": "spam", "split": "script"}}
    arm(tmp_path, "ch06_row01_baseline", 285, config=config, hashes={"data": "a" * 64})
    assert verdict(tmp_path, "ch06_row01_baseline", kind="score", value=0.95).verdict is Verdict.NOT_COMPARABLE


def test_the_published_data_are(tmp_path: Path) -> None:
    config = {"data": {"source": "spam", "split": "script"}}
    arm(tmp_path, "ch06_row01_baseline", 285, config=config, hashes={"data": catalogue.SMS_SPAM.sha256})
    assert verdict(tmp_path, "ch06_row01_baseline", kind="score", value=0.95).verdict is Verdict.REPRODUCED


def test_a_config_that_contradicts_its_experiment_file_is_altered_even_if_the_record_denies_it(tmp_path: Path) -> None:
    arm(tmp_path, "ch06_3_first_token", 225, config={"position": "last"})
    assert verdict(tmp_path, "ch06_3_first_token", kind="score", value=0.75).verdict is Verdict.NOT_COMPARABLE


def test_a_pair_that_differs_in_two_settings_is_confounded(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, config={"position": "last", "train": {"lr": 5e-5}})
    arm(tmp_path, "variant", 270, config={"position": "first", "train": {"lr": 5e-4}})
    found = relation(tmp_path, "lower")
    assert found.verdict is Verdict.NOT_COMPARABLE and "train.lr" in found.reason


def test_a_pair_with_other_steps_than_its_settings_explain_is_confounded(tmp_path: Path) -> None:
    arm(tmp_path, "baseline", 285, config={"position": "last"}, losses=[1.0, 0.9])
    arm(tmp_path, "variant", 270, config={"position": "first"}, losses=[1.0, 0.9, 0.8])
    found = relation(tmp_path, "lower")
    assert found.verdict is Verdict.NOT_COMPARABLE and "training steps" in found.reason


@pytest.mark.parametrize("place", ["hashes", "metrics"])
def test_scores_of_different_judges_are_not_comparable(tmp_path: Path, place: str) -> None:
    for name, judge_name in (("baseline", "llama3:8b"), ("variant", "gpt-4")):
        for seed in SEEDS:
            more: dict[str, Any] = {"metrics": {"judge_score": 50.0 + seed % 3}}
            more.setdefault(place, {})["judge_card"] = judge_name
            write_run(tmp_path, name, seed, **more)
    found = verdict(tmp_path, kind="relation", metric="judge_score", n=0, versus="baseline", direction="lower")
    assert found.verdict is Verdict.NOT_COMPARABLE and "judge" in found.reason


def test_a_score_by_another_judge_than_the_claims_is_not_comparable(tmp_path: Path) -> None:
    for seed in SEEDS:
        write_run(tmp_path, "variant", seed, metrics={"judge_score": 50.0}, hashes={"judge": "heuristic"})
    entry = {"kind": "score", "metric": "judge_score", "n": 0, "value": 50.0}
    assert verdict(tmp_path, **entry, judge="llama3").verdict is Verdict.NOT_COMPARABLE
    assert verdict(tmp_path, **entry, judge="heuristic").verdict is Verdict.REPRODUCED


def test_what_is_missing_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    found = verdict(tmp_path, "ch06_row08_xl", kind="score", value=0.9833)
    assert found.verdict is Verdict.NOT_RUN
    assert "GPT-2 weights (xl)" in found.reason and "experiment=ch06_row08_xl" in found.reason


def test_a_run_that_failed_is_not_run_and_tells_its_error(tmp_path: Path) -> None:
    write_run(tmp_path, "variant", 123, status="failed", error="FileNotFoundError: no weights")
    found = verdict(tmp_path, kind="score", value=0.95)
    assert found.verdict is Verdict.NOT_RUN and "no weights" in found.reason


def test_a_metric_that_no_record_has_is_not_run(tmp_path: Path) -> None:
    write_run(tmp_path, "variant", 123, 0.95)
    found = verdict(tmp_path, kind="score", metric="bleu", value=0.5)
    assert found.verdict is Verdict.NOT_RUN and "test_accuracy" in found.reason


def test_bare_records_are_read_and_judged(tmp_path: Path) -> None:
    for seed in SEEDS:
        write_run(
            tmp_path, "variant", seed, metrics={"test_accuracy": 0.95}, changes=None, hashes=None, device=None,
            claims=None, versions=None, git=None, seconds=None, started=None, fingerprint=None, error=None,
        )  # fmt: skip
    assert verdict(tmp_path, kind="score", value=0.95).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("value", "measured", "expected"),
    [
        (7090946, 7090946, Verdict.REPRODUCED),
        (7090946, 7090947, Verdict.NOT_REPRODUCED),
        ([[40, 367], [2885, 1464]], [[40, 367], [2885, 1464]], Verdict.REPRODUCED),
        ([[40, 367], [2885, 1464]], [[40, 367], [2885, 1465]], Verdict.NOT_REPRODUCED),
        ("Akwirw ier", "Akwirw ier", Verdict.REPRODUCED),
    ],
)
def test_exact_claims_are_equalities(tmp_path: Path, value: Any, measured: Any, expected: Verdict) -> None:
    write_run(tmp_path, "variant", 123, metrics={"ids": measured})
    assert verdict(tmp_path, kind="exact", metric="ids", value=value, n=0).verdict is expected


@pytest.mark.parametrize(
    ("measured", "device", "expected"),
    [
        (3.7547486888037787, "cpu", Verdict.REPRODUCED),  # the author's second print, facts of exercise 5.5
        (3.7557, "cpu", Verdict.NOT_REPRODUCED),
        (3.7557, "cuda:0 NVIDIA H100", Verdict.REPRODUCED),
        (3.7557, "tpu", Verdict.INCONCLUSIVE),
        (3.9, "cuda:0 NVIDIA H100", Verdict.NOT_REPRODUCED),
    ],
)
def test_close_claims_have_a_tolerance_by_environment(
    tmp_path: Path, measured: float, device: str, expected: Verdict
) -> None:
    write_run(tmp_path, "variant", 123, metrics={"train_loss": measured}, device=device)
    found = verdict(tmp_path, kind="close", metric="train_loss", value=3.754748503367106, n=0)
    assert found.verdict is expected


def test_a_close_claim_allows_for_the_rounding_of_the_print(tmp_path: Path) -> None:
    write_run(tmp_path, "variant", 123, metrics={"output": [[0.29961, 0.80527]]})
    printed = {"metric": "output", "kind": "close", "value": [[0.2996, 0.8053]], "n": 0}
    assert verdict(tmp_path, **printed).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("seed", "hits", "expected"),
    [(123, 32, Verdict.REPRODUCED), (7, 43, Verdict.REPRODUCED), (7, 80, Verdict.NOT_REPRODUCED)],
)
def test_counts_are_held_against_their_probability(tmp_path: Path, seed: int, hits: int, expected: Verdict) -> None:
    write_run(tmp_path, "variant", seed, metrics={"word_count": hits})
    found = verdict(tmp_path, kind="count", metric="word_count", value=32, n=1000, probability=0.043)
    assert found.verdict is expected


def test_a_ratio_of_counts_is_checked_exactly_and_one_of_times_needs_the_device(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 123, metrics={"tokens": 564, "train_seconds": 1.8})
    write_run(tmp_path, "variant", 123, metrics={"tokens": 389, "train_seconds": 1.5})
    ratio = {"kind": "ratio", "versus": "baseline", "n": 0}
    assert verdict(tmp_path, **ratio, metric="tokens", value=0.69).verdict is Verdict.REPRODUCED
    assert verdict(tmp_path, **ratio, metric="tokens", value=0.71).verdict is Verdict.NOT_REPRODUCED
    assert verdict(tmp_path, **ratio, metric="train_seconds", value=0.83).verdict is Verdict.NOT_COMPARABLE
    timed = verdict(tmp_path, **ratio, metric="train_seconds", value=0.83, device="L4")
    assert timed.verdict is Verdict.NOT_COMPARABLE and "L4" in timed.reason


def test_a_claim_cannot_be_changed_and_a_broken_one_is_refused() -> None:
    claim = claims.parse({"metric": "a", "value": 1, "source": "s"}, "test")
    with pytest.raises(AttributeError):
        claim.value = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="nearest: metric"):
        claims.parse({"metrik": "a", "value": 1, "source": "s"}, "test")
    with pytest.raises(ValueError, match="lacks source"):
        claims.parse({"metric": "a", "value": 1}, "test")
    with pytest.raises(ValueError, match="versus"):
        claims.parse({"metric": "a", "kind": "relation", "source": "s"}, "test")


CARD = {"backend": "ollama", "model": "llama3", "digest": "abc", "prompt": "p1", "parser": 2}
CLAIMED = {"kind": "score", "metric": "judge_score", "n": 0, "value": 50.0}


def test_who_judged_alters_no_experiment_and_speaks_only_of_judged_metrics(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        plain: dict[str, Any] = {"val_loss": 0.5, "train_loss": 0.4}
        write_run(tmp_path, "variant", seed, metrics=plain, config={"judge": {"backend": "none"}})
        asked = {"judge": {"backend": "ollama", "model": "llama3"}}
        changes = {"judge.backend": "ollama", "judge.model": "llama3"}
        metrics = plain | {"judge_score": 50.0, "judge": CARD}
        write_run(tmp_path, "variant", seed, metrics=metrics, config=asked, changes=changes)
    assert verdict(tmp_path, kind="score", metric="val_loss", n=0, value=0.5).verdict is Verdict.REPRODUCED
    assert verdict(tmp_path, **CLAIMED, judge="backend=ollama, model=llama3, prompt=p1").verdict is Verdict.REPRODUCED


def test_a_score_needs_every_part_of_the_card_that_the_claim_names(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write_run(tmp_path, "variant", seed, metrics={"judge_score": 50.0, "judge": CARD})
    for named in ("model=llama3.2", "model=llama", "model=llama3, prompt=p2", "backend=openai"):
        found = verdict(tmp_path, **CLAIMED, judge=named)
        assert found.verdict is Verdict.NOT_COMPARABLE, named
        assert f"judged by {named}, the runs by backend=ollama, digest=abc, model=llama3" in found.reason


def test_runs_of_the_right_judge_speak_even_if_others_lie_beside_them(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        for model, score in (("llama3", 50.0), ("gpt-4", 80.0)):
            metrics = {"judge_score": score, "judge": CARD | {"model": model}}
            write_run(tmp_path, "variant", seed, metrics=metrics, config={"judge": {"model": model}})
    assert verdict(tmp_path, **CLAIMED, judge="model=llama3").verdict is Verdict.REPRODUCED
