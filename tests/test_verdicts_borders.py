"""Verdicts at their borders, on records that are never written: each number is worked out beside its test."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from synthetic import write_predictions

from scratchlab import stats
from scratchlab.book import claims
from scratchlab.book.experiments import Experiment
from scratchlab.evidence.runs import Arm, RunRecord
from scratchlab.evidence.verdicts import single, versus
from scratchlab.evidence.verdicts.outcome import Decision, Verdict
from scratchlab.runs.claim import Claim
from scratchlab.runs.metrics import metric

LONG = "x" * 200


def records(values: Any, *, name: str = "variant", metric: str = "word_count", **more: Any) -> Arm:
    """An arm with a value of the metric by seed."""
    runs = tuple(
        RunRecord(**{"folder": Path("nowhere"), "name": name, "seed": seed, "status": "done", "device": "cpu",
                     "metrics": {metric: value}} | more)
        for seed, value in values.items()
    )  # fmt: skip
    return Arm(name, name, {}, runs)


def claim(**entry: Any) -> Claim:
    return claims.parse({"metric": "word_count", "source": "made up"} | entry, "test")


COUNT = {"kind": "count", "value": 32, "n": 1000, "probability": 0.043}


def of(content: dict[str, Any]) -> Experiment:
    return Experiment("variant", Path("variant.yaml"), content, False)


def test_the_published_seed_is_the_books_unless_a_file_names_another() -> None:
    assert single.published_seed(None) == single.published_seed(of({})) == 123
    assert single.published_seed(of({"seed": 7})) == 7


@pytest.mark.parametrize(
    ("config", "device", "tolerance"),
    [
        ({}, "cpu", 1e-5),
        ({"compute.precision": "float32"}, "cuda:0 NVIDIA H100", 1e-3),
        ({}, "mps", 1e-3),
        ({"compute.precision": "bfloat16"}, "cpu", 2e-2),
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_close_claim_is_close_up_to_the_tolerance_of_its_environment(
    config: dict[str, Any], device: str, tolerance: float, sign: int
) -> None:
    def told(relative: float) -> Decision:
        arm = records({123: [1024.0, 1024 * (1 + sign * relative)]}, metric="output", config=config, device=device)
        return single.close(claim(metric="output", kind="close", value=[1024, 1024]), arm, None)

    assert told(tolerance * 0.999).verdict is Verdict.REPRODUCED
    beyond = told(tolerance * 1.001)
    assert beyond.verdict is Verdict.NOT_REPRODUCED and f"relative {tolerance:.1g}" in beyond.reason
    assert f"at most {tolerance:g}" in beyond.test


def test_a_claims_own_tolerance_counts_where_it_is_the_wider_one() -> None:
    def told(tolerance: float, device: str) -> Verdict:
        arm = records({123: 1010.0}, metric="train_loss", device=device)
        stated = claim(metric="train_loss", kind="close", value=1000, tolerance=tolerance)
        return single.close(stated, arm, None).verdict

    assert told(0.02, "cpu") is Verdict.REPRODUCED and told(0.005, "cpu") is Verdict.NOT_REPRODUCED
    assert told(0.02, "tpu") is Verdict.REPRODUCED and told(0.005, "tpu") is Verdict.INCONCLUSIVE


def test_the_worst_number_of_a_close_list_is_told_and_one_that_fails_comes_before_a_larger_one_that_holds() -> None:
    arm = records({123: [1_000_001.0, 1.5]}, metric="output")
    found = single.close(claim(metric="output", kind="close", value=[1_000_000, 1]), arm, None)
    assert found.verdict is Verdict.NOT_REPRODUCED and "largest difference +0.5, relative 0.5" in found.reason


def test_half_a_digit_of_a_print() -> None:
    assert single.half_a_digit(7) == 0.0
    for printed, half in ((3.75, 0.005), (0.1, 0.05), (1e-5, 0.5e-5), (2.0, 0.05)):
        assert half < single.half_a_digit(printed) < half * (1 + 1e-8)


def test_a_close_claim_needs_as_many_numbers_as_were_printed() -> None:
    stated = claim(metric="output", kind="close", value=[1.0, 2.0])
    for measured in ([1.0], [1.0, 2.0, 3.0], ["1.0", 2.0], [True, 2.0], "text"):
        found = single.close(stated, records({123: measured}, metric="output"), None)
        assert found.verdict is Verdict.NOT_REPRODUCED and "not as many numbers" in found.reason
    assert single.numbers([[1, [2.5]], 3]) == [1, 2.5, 3] and single.numbers([1, None]) is None


def test_equality_knows_a_yes_from_a_one_and_lists_by_their_length() -> None:
    def told(measured: Any, value: Any) -> Decision:
        return single.exact(claim(metric="ids", value=value), records({123: measured}, metric="ids"), None)

    assert told(True, True).verdict is Verdict.REPRODUCED and told(1.0, 1).verdict is Verdict.REPRODUCED
    assert told(1, True).verdict is Verdict.NOT_REPRODUCED and told(True, 1).verdict is Verdict.NOT_REPRODUCED
    assert told(["a", "b"], "ab").verdict is told("ab", ["a", "b"]).verdict is Verdict.NOT_REPRODUCED
    assert told([1, 2], [1, 2, 3]).reason == "2 values, published are 3"
    assert told([1, 5, 3, 6], [1, 2, 3, 4]).reason == "differs first at place 1: 5, published 2"
    assert told([1, LONG], [1, LONG[1:]]).reason == f"differs first at place 1: {'x' * 80}, published {'x' * 80}"
    assert told(LONG, LONG[1:]).reason == f"{'x' * 120}, published {'x' * 120}"
    assert told([1], LONG).reason == f"[1], published {'x' * 120}"


def test_of_several_runs_with_the_published_seed_the_wrong_one_is_told() -> None:
    right, wrong = records({123: 5}, metric="ids").runs[0], records({123: 6}, metric="ids").runs[0]
    found = single.exact(claim(metric="ids", value=5), Arm("variant", "variant", {}, (right, wrong)), None)
    assert (found.verdict, found.measured, found.seeds) == (Verdict.NOT_REPRODUCED, 6, (123, 123))


def test_a_number_that_no_seed_moves_speaks_without_the_published_seed() -> None:
    def told(metric: str, *values: Any) -> Verdict:
        arm = records(dict(enumerate(values)), metric=metric)
        return single.exact(claim(metric=metric, value=values[0]), arm, None).verdict

    # declared to come out the same with every seed: one run is enough
    assert told("train_entries", 935) is Verdict.REPRODUCED
    assert told("templates", {"alpaca": 50, "phi3": 8}, {"phi3": 8, "alpaca": 50}) is Verdict.REPRODUCED
    # not declared: two other seeds that agree to the last bit, and only on a number with decimals
    assert told("output", [0.1234, 1]) is Verdict.NOT_RUN
    assert told("output", [0.1234, 1], [0.1234, 1]) is Verdict.REPRODUCED
    assert told("output", [2.0, 1], [2.0, 1]) is Verdict.NOT_RUN
    assert told("output", [0.1234, 1], [0.1235, 1]) is Verdict.NOT_RUN
    assert told("train_entries", 935, 936) is Verdict.NOT_RUN
    # a share of a few items agrees by chance
    assert told("test_accuracy", 0.951234, 0.951234) is Verdict.NOT_RUN


def test_the_published_seed_alone_speaks_where_it_is_there() -> None:
    arm = records({7: 5, 123: 6, 200: 5}, metric="ids")
    found = single.exact(claim(metric="ids", value=6), arm, None)
    assert (found.verdict, found.seeds, found.measured) == (Verdict.REPRODUCED, (123,), 6)
    missing = single.exact(
        claim(metric="test_loss", value=6.5), records({7: 5.5, 8: 6.5}, metric="test_loss"), of({"seed": 42})
    )
    assert missing.verdict is Verdict.NOT_RUN and missing.seeds == (7, 8) and missing.device == "cpu"
    assert "the published one, 42, has not run (there is 7, 8)" in missing.reason and "seed=42" in missing.reason


def record(device: str) -> RunRecord:
    return records({123: math.nan}, metric="test_loss", device=device).runs[0]


def test_a_diverged_run_is_measured_only_where_all_are() -> None:
    stated = claim(metric="test_loss", kind="close", value=1.0)
    some, every = ({123: math.nan, 124: 1.0}, {123: math.inf, 124: math.nan})
    found = single.nan_verdict(stated, records(some, metric="test_loss").runs)
    assert found is not None and found.measured is None and found.seeds == (123, 124)
    assert found.reason == "1 of 2 runs diverged (NaN or infinite; seed 123)"
    found = single.nan_verdict(stated, records(every, metric="test_loss").runs)
    assert found is not None and found.measured == math.inf
    on = (record("cuda"), record("cpu"))
    found = single.nan_verdict(stated, on)
    assert found is not None and found.device == "cuda"


@pytest.mark.parametrize(
    ("device", "config", "expected"),
    [
        ("cpu", {}, "cpu float32"),
        ("CUDA:1 NVIDIA L4", {}, "cuda float32"),
        ("", {}, ""),
        ("cpu", {"compute.precision": "bfloat16"}, "bfloat16"),
        ("", {"compute.precision": "bfloat16"}, "bfloat16"),
    ],
)
def test_the_class_of_an_environment(device: str, config: dict[str, Any], expected: str) -> None:
    assert single.environment_class(records({1: 1}, device=device, config=config).runs[0]) == expected


def binomial(hits: int, draws: int, probability: float) -> float:
    """Two-sided, every outcome no likelier than the one seen summed up."""
    chances = scipy.stats.binom.pmf(np.arange(draws + 1), draws, probability)
    return min(1.0, float(chances[chances <= chances[hits] * (1 + 1e-7)].sum()))


def test_counts_of_several_seeds_are_looked_at_together_and_one_by_one() -> None:
    for hits in ({1: 43, 2: 50, 3: 60}, {1: 20, 2: 66}, {1: 57}, {1: 56}, {1: 58, 2: 30}, {1: 43, 2: 43}):
        found = single.count(claim(**COUNT), records(hits), None)
        each = [binomial(h, 1000, 0.043) for h in hits.values()]
        together = binomial(sum(hits.values()), 1000 * len(hits), 0.043)
        p = together if len(hits) == 1 else min(1.0, 2 * min(together, min(each) * len(hits)))
        assert f"p = {p:.2g}" in found.reason
        assert found.verdict is (Verdict.REPRODUCED if p >= 0.05 else Verdict.NOT_REPRODUCED)
        assert found.measured == statistics.fmean(hits.values()) and found.chance == 0.05
        ends = scipy.stats.binomtest(sum(hits.values()), 1000 * len(hits)).proportion_ci(0.95, "exact")
        assert found.interval == pytest.approx((1000 * ends.low, 1000 * ends.high))
        expected = f"{sum(hits.values())} of {1000 * len(hits)} draws, {43 * len(hits):.1f} expected"
        assert expected in found.reason
        assert ("by seed" in found.reason) == (len(hits) > 1)
        if found.verdict is Verdict.NOT_REPRODUCED:
            assert found.p == pytest.approx(p, rel=1e-6)


def test_a_count_with_the_published_seed_repeats_and_the_others_are_tested_alone() -> None:
    again = single.count(claim(**COUNT), records({123: 32}), None)
    assert (again.verdict, again.repetition, again.measured) == (Verdict.REPRODUCED, True, 32)
    assert again.test == "equal with the published seed"
    others = single.count(claim(**COUNT), records({123: 32, 1: 43, 2: 45}), None)
    assert others.reason.startswith("seed 123 gives the very count; of the others, 88 of 2000 draws, 86.0 expected")
    assert (others.repetition, others.measured) == (True, 32)
    off = single.count(claim(**COUNT), records({123: 32, 1: 80}), None)
    assert (off.verdict, off.measured) == (Verdict.NOT_REPRODUCED, 80)
    other = single.count(claim(**COUNT), records({123: 33}), None)  # not the very count: tested like any seed
    assert other.repetition is None and other.reason.startswith("33 of 1000 draws")


RELATION = {"kind": "relation", "metric": "test_loss", "versus": "baseline"}
"""A metric of no items, so that nothing floors the spread."""


def related(ours: list[float], theirs: list[float], **entry: Any) -> Decision:
    arms = (
        records(dict(enumerate(values)), name=name, metric="test_loss")
        for name, values in (("variant", ours), ("baseline", theirs))
    )
    return versus.relation(claim(**(RELATION | entry)), *arms, known=True)


def test_the_interval_of_a_direction_is_students_at_the_level_of_all_looks() -> None:
    ours, theirs = [1.3, 1.25, 1.4, 1.37], [1.0, 1.02, 1.01, 0.99]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    half = scipy.stats.t.ppf(1 - 0.0075 / 2, 3) * statistics.stdev(differences) / 2
    found = related(ours, theirs, direction="higher")
    mean = statistics.fmean(differences)
    assert found.interval == pytest.approx((mean - half, mean + half)) and found.measured == pytest.approx(mean)
    assert (found.verdict, found.seeds, found.chance) == (Verdict.REPRODUCED, (0, 1, 2, 3), 0.025)
    assert related(ours, theirs, direction="lower").verdict is Verdict.NOT_REPRODUCED
    assert "the other way" in related(ours, theirs, direction="lower").reason
    assert related(theirs, ours, direction="lower").verdict is Verdict.REPRODUCED
    # the margin: inside the interval nothing is shown, below its lower end it is, above its upper end it is refuted
    assert related(ours, theirs, direction="higher", margin=mean - half - 1e-9).verdict is Verdict.REPRODUCED
    assert related(ours, theirs, direction="higher", margin=mean - half + 1e-9).verdict is Verdict.INCONCLUSIVE
    assert related(ours, theirs, direction="higher", margin=mean + half - 1e-9).verdict is Verdict.INCONCLUSIVE
    small = related(ours, theirs, direction="higher", margin=mean + half + 1e-9)
    assert small.verdict is Verdict.NOT_REPRODUCED and "smaller than claimed" in small.reason
    # one-sided p of a true difference at the margin, times what all looks together cost: 0.025 / 0.00375
    t = half / (statistics.stdev(differences) / 2)
    assert small.p == pytest.approx(scipy.stats.t.sf(t, 3) * 0.025 / 0.00375, rel=1e-5)


def test_equal_differences_have_an_interval_of_no_width_and_zero_is_on_no_side() -> None:
    assert related([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], direction="higher", margin=1.0).verdict is Verdict.REPRODUCED
    none = related([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], direction="higher")
    assert none.verdict is Verdict.NOT_REPRODUCED and "smaller than claimed" in none.reason
    # differences that agree but for their last bits are equal: 0.3 - 0.2, 0.4 - 0.3 and 0.5 - 0.4
    bits = related([0.3, 0.4, 0.5], [0.2, 0.3, 0.4], direction="higher", margin=0.05)
    assert bits.verdict is Verdict.REPRODUCED and bits.interval is not None
    assert bits.interval[0] == bits.interval[1]


@pytest.mark.parametrize("direction", [{"direction": "higher"}, {"direction": "same", "margin": 0.5}])
def test_relations_need_three_seeds_in_common(direction: dict[str, Any]) -> None:
    one, two = related([1.0], [1.0], **direction), related([1.0, 1.1], [1.0, 1.1], **direction)
    assert one.verdict is two.verdict is Verdict.INCONCLUSIVE and one.seeds_needed == two.seeds_needed == 3
    assert "over 1 seed;" in one.reason and "one pair shows too little" in one.reason
    assert "over 2 seeds;" in two.reason and "2 pairs show too little" in two.reason and two.interval is None
    assert related([1.0, 1.1, 1.2], [1.0, 1.1, 1.2], **direction).interval is not None


def test_sameness_is_two_one_sided_tests_at_the_level_of_all_looks() -> None:
    ours, theirs = [1.02, 0.98, 1.01, 1.0], [1.0, 1.01, 0.99, 1.02]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / 2
    half = scipy.stats.t.ppf(1 - 0.008, 3) * error
    within = related(ours, theirs, direction="same", margin=half + abs(mean) + 1e-6)
    assert within.verdict is Verdict.REPRODUCED and within.interval == pytest.approx((mean - half, mean + half))
    assert within.chance == 0.05
    assert related(ours, theirs, direction="same", margin=half + abs(mean) - 1e-6).verdict is Verdict.INCONCLUSIVE
    for sign in (1, -1):
        far = [b + sign * (0.5 + d) for b, d in zip(theirs, differences, strict=True)]
        shift = abs(statistics.fmean([a - b for a, b in zip(far, theirs, strict=True)]))
        apart = related(far, theirs, direction="same", margin=shift - half - 1e-6)
        assert apart.verdict is Verdict.NOT_REPRODUCED and "farther apart" in apart.reason
        assert apart.p == pytest.approx(scipy.stats.t.sf((half + 1e-6) / error, 3) * 0.025 / 0.00375, rel=1e-4)
        assert related(far, theirs, direction="same", margin=shift - half + 1e-6).verdict is Verdict.INCONCLUSIVE


def test_an_open_relation_says_what_would_decide_it() -> None:
    ours, theirs = [1.3, 0.9, 1.2], [1.0, 1.0, 1.0]
    sd = statistics.stdev([0.3, -0.1, 0.2])
    found = related(ours, theirs, direction="higher")
    assert found.verdict is Verdict.INCONCLUSIVE
    effect = metric("test_loss").cap
    assert found.seeds_needed == stats.seeds_for_difference(sd, effect, alpha=0.0075, power=0.8)
    most = stats.largest_sd(sd, 3, assurance=0.8)
    assert found.seeds_assured == stats.seeds_for_difference(most, effect, alpha=0.0075, power=0.8)
    assert found.detectable == pytest.approx(stats.smallest_difference(sd, 3, alpha=0.0075))
    same = related(ours, theirs, direction="same", margin=0.2)
    assert same.verdict is Verdict.INCONCLUSIVE
    assert same.seeds_needed == stats.seeds_for_equivalence(sd, 0.2, alpha=0.008, power=0.8)


def quotient(ours: dict[int, Any], theirs: dict[int, Any] | None, metric: str = "tokens", **entry: Any) -> Decision:
    stated = claim(**({"kind": "ratio", "metric": metric, "versus": "baseline"} | entry))
    other = None if theirs is None else records(theirs, name="baseline", metric=metric)
    return versus.ratio(stated, records(ours, metric=metric), other)


def test_a_ratio_of_counts_is_the_published_one_within_its_rounding() -> None:
    assert quotient({1: 690}, {1: 1000}, value=0.69).measured == 0.69
    for ours, expected in ((685, True), (695, True), (684, False), (696, False)):
        assert (quotient({1: ours}, {1: 1000}, value=0.69).verdict is Verdict.REPRODUCED) is expected
    for ours, expected in ((1099, True), (1101, False), (901, True), (899, False)):
        found = quotient({1: ours}, {1: 1000}, value=1.0, tolerance=0.1).verdict
        assert (found is Verdict.REPRODUCED) is expected
    mixed = quotient({1: 690, 2: 800}, {1: 1000, 2: 1000}, value=0.69)
    assert mixed.verdict is Verdict.NOT_REPRODUCED and mixed.measured == pytest.approx(0.745)
    assert mixed.seeds == (1, 2)


def test_a_ratio_without_a_value_lies_beyond_one_by_the_margin() -> None:
    def told(ours: int, **entry: Any) -> bool:
        return quotient({1: ours}, {1: 1000}, **entry).verdict is Verdict.REPRODUCED

    assert told(1001, direction="higher") and not told(1000, direction="higher")
    assert told(999, direction="lower") and not told(1000, direction="lower")
    assert told(1251, direction="higher", margin=0.25) and not told(1250, direction="higher", margin=0.25)
    assert told(749, direction="lower", margin=0.25) and not told(750, direction="lower", margin=0.25)
    assert told(1250, direction="same", margin=0.25) and told(750, direction="same", margin=0.25)
    assert not told(1251, direction="same", margin=0.25) and not told(749, direction="same", margin=0.25)


def test_a_ratio_needs_a_common_seed_and_something_to_divide_by() -> None:
    assert quotient({1: 5}, {2: 5}, value=1).verdict is Verdict.NOT_RUN
    assert quotient({1: 5, 2: 5}, {1: 5, 2: 0}, value=1).verdict is Verdict.NOT_COMPARABLE
    alone = quotient({1: 0.69}, None, value=0.69)
    assert alone.verdict is Verdict.REPRODUCED and alone.measured == 0.69
    common = quotient({1: 5, 2: 10}, {2: 5, 3: 5}, value=2)
    assert common.verdict is Verdict.REPRODUCED and common.seeds == (2,)


def timed(*ratios: float, value: float) -> Decision:
    ours = {seed: 100 * ratio for seed, ratio in enumerate(ratios)}
    return quotient(ours, dict.fromkeys(ours, 100.0), metric="train_seconds", value=value, device="cpu")


def test_a_ratio_of_times_needs_three_repeats_and_a_narrow_interval() -> None:
    few = timed(1.0, 1.0, value=1.0)
    assert few.verdict is Verdict.INCONCLUSIVE and few.seeds_needed == 3 and "2 repeats" in few.reason
    # sd 0.02 over three: t(2) = 4.303, times sqrt(4/3): 0.0994, just inside a tenth
    t = scipy.stats.t.ppf(0.975, 2) * math.sqrt(4 / 3)
    narrow = timed(0.98, 1.0, 1.02, value=1.05)
    assert narrow.verdict is Verdict.REPRODUCED and narrow.chance == 0.05
    assert narrow.interval == pytest.approx((1 - 0.02 * t, 1 + 0.02 * t))
    assert timed(0.979, 1.0, 1.021, value=1.05).verdict is Verdict.INCONCLUSIVE
    off = timed(0.98, 1.0, 1.02, value=1.11)
    assert off.verdict is Verdict.NOT_REPRODUCED
    assert off.p == pytest.approx(2 * scipy.stats.t.sf(0.11 / (0.02 * math.sqrt(4 / 3)), 2), rel=1e-6)


def test_rounding_of_a_printed_ratio() -> None:
    for printed, half in ((0.69, 0.005), (1.5, 0.05), (2, 0.5), (0.125, 0.0005)):
        assert half < versus._rounding(printed) < half * (1 + 1e-8)
    assert versus._rounding(1e-7) == 0.0


def shares(ours: list[float], theirs: list[float], **entry: Any) -> Decision:
    """A relation of accuracies, of runs that kept no predictions."""
    arms = (
        records(dict(enumerate(values)), name=name, metric="test_accuracy")
        for name, values in (("variant", ours), ("baseline", theirs))
    )
    return versus.relation(claim(**(RELATION | {"metric": "test_accuracy"} | entry)), *arms, known=True)


@pytest.mark.parametrize(("stated", "items"), [({"n": 20}, 20), ({}, 300)])
def test_equal_differences_of_accuracies_have_half_a_step_of_the_claims_items_as_their_spread(
    stated: dict[str, Any], items: int
) -> None:
    sd = 0.5 / items
    half = scipy.stats.t.ppf(1 - 0.0075 / 2, 3) * sd / 2
    ours, theirs = [0.55, 0.6, 0.5, 0.65], [0.5, 0.55, 0.45, 0.6]
    margin = 0.05 - half / 2  # inside the interval, so that nothing is decided
    found = shares(ours, theirs, direction="higher", margin=margin, **stated)
    assert found.verdict is Verdict.INCONCLUSIVE and found.interval == pytest.approx((0.05 - half, 0.05 + half))
    assert found.detectable == stats.smallest_difference(sd, 4, alpha=0.0075)
    assert found.seeds_needed == max(3, stats.seeds_for_difference(sd, 0.03, alpha=0.0075, power=0.8) or 0)
    same = shares(ours, theirs, direction="same", margin=0.05 + half / 2, **stated)
    assert same.verdict is Verdict.INCONCLUSIVE
    assert same.seeds_needed == max(3, stats.seeds_for_equivalence(sd, 0.05 + half / 2, alpha=0.008, power=0.8) or 0)
    even = shares([0.5, 0.75, 0.25], [0.5, 0.75, 0.25], direction="same", margin=0.2, n=4)
    assert even.seeds_needed == stats.seeds_for_equivalence(0.125, 0.2, alpha=0.008, power=0.8)
    assert even.seeds_needed != stats.seeds_for_equivalence(0.25 / 3, 0.2, alpha=0.008, power=0.8)
    # the p of a refuted margin, with the same spread
    refuted = shares(ours, theirs, direction="higher", margin=0.05 + 2 * half, **stated)
    assert refuted.verdict is Verdict.NOT_REPRODUCED
    t = 2 * half / (sd / 2)
    assert refuted.p == pytest.approx(scipy.stats.t.sf(t, 3) * 0.025 / 0.00375, rel=1e-5)


def test_the_items_of_an_accuracy_are_those_that_the_first_run_predicted(tmp_path: Path) -> None:
    write_predictions(tmp_path, np.array([1, 0, 1, 1]))
    kept = records({1: 0.75}, metric="test_accuracy", folder=tmp_path).runs[0]
    bare = records({2: 0.5}, metric="test_accuracy").runs[0]
    stated = claim(**(RELATION | {"metric": "test_accuracy", "direction": "higher"}))
    assert versus._items(Arm("variant", "variant", {}, (kept, bare)), stated) == 4
    assert versus._items(Arm("variant", "variant", {}, (bare, kept)), stated) == 300  # of the book's split


def test_a_margin_at_an_end_of_the_interval_is_not_refuted() -> None:
    ours, theirs = [1.3, 1.25, 1.4, 1.37], [1.0, 1.02, 1.01, 0.99]
    low, high = related(ours, theirs, direction="higher").interval or (0.0, 0.0)
    assert related(ours, theirs, direction="higher", margin=low).verdict is Verdict.REPRODUCED
    assert related(ours, theirs, direction="higher", margin=high).verdict is Verdict.INCONCLUSIVE
    assert related(theirs, ours, direction="lower", margin=low).verdict is Verdict.REPRODUCED
    assert related(theirs, ours, direction="lower", margin=low + 1e-9).verdict is Verdict.INCONCLUSIVE
    assert related(theirs, ours, direction="lower", margin=high).verdict is Verdict.INCONCLUSIVE
    assert related(theirs, ours, direction="lower", margin=high + 1e-9).verdict is Verdict.NOT_REPRODUCED
    low, high = related(ours, theirs, direction="same", margin=1.0).interval or (0.0, 0.0)
    assert related(ours, theirs, direction="same", margin=low).verdict is Verdict.INCONCLUSIVE
    assert related(ours, theirs, direction="same", margin=low - 1e-9).verdict is Verdict.NOT_REPRODUCED
    low, high = related(theirs, ours, direction="same", margin=1.0).interval or (0.0, 0.0)
    assert related(theirs, ours, direction="same", margin=-high).verdict is Verdict.INCONCLUSIVE
    assert related(theirs, ours, direction="same", margin=-high - 1e-9).verdict is Verdict.NOT_REPRODUCED


def test_the_words_of_a_direction_name_its_margin_only_if_it_has_one() -> None:
    ours, theirs = [1.3, 1.25, 1.4], [1.0, 1.02, 1.01]
    plain = related(ours, theirs, direction="higher").test
    assert plain.startswith("paired by seed: the t interval of the difference must lie higher; its level, 99.25%, ")
    some = related(ours, theirs, direction="higher", margin=0.125).test
    assert "must lie higher by 0.125 or more; its level" in some


def test_differences_with_noise_in_their_last_digits_are_the_first_of_them() -> None:
    # of numbers of a thousand, a last bit is more than a millionth of a millionth of a tenth
    ours, theirs = [1000.1, 2000.1, 1500.1], [1000.0, 2000.0, 1500.0]
    for seeds in (2, 3):
        found = related(ours[:seeds], theirs[:seeds], direction="higher")
        assert found.measured == ours[0] - theirs[0]
    assert found.interval == (found.measured, found.measured) and found.verdict is Verdict.REPRODUCED


def test_no_difference_at_all_has_a_p_of_one() -> None:
    same = [1.0, 2.0, 4.0]
    assert related(same, same, direction="higher").p == 1.0


def test_an_open_sameness_is_planned_by_the_spread_of_the_differences() -> None:
    ours, theirs = [2.0, 1.0, 3.2, 2.5], [1.5, 1.3, 3.0, 2.6]
    sd = statistics.stdev([0.5, -0.3, 0.2, -0.1])
    found = related(ours, theirs, direction="same", margin=0.3)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.seeds_needed == stats.seeds_for_equivalence(sd, 0.3, alpha=0.008, power=0.8)


def on_devices(name: str, devices: dict[int, str]) -> Arm:
    runs = [
        records({seed: 1.0 + seed / 10}, name=name, metric="test_loss", device=device).runs[0]
        for seed, device in devices.items()
    ]
    return Arm(name, name, {}, tuple(runs))


def test_devices_of_the_common_seeds_are_told_where_they_differ() -> None:
    def told(ours: dict[int, str], theirs: dict[int, str]) -> list[str]:
        stated = claim(**(RELATION | {"direction": "higher"}))
        found = versus.relation(stated, on_devices("variant", ours), on_devices("baseline", theirs), known=True)
        return [note for note in found.notes if "devices" in note]

    common = dict.fromkeys((1, 2, 3), "cpu")
    assert told(common, common) == []
    assert told(common, dict.fromkeys(common, "cuda")) == ["the arms ran on different devices: cpu, cuda"]
    assert told(common | {4: "mps"}, common | {5: "cuda"}) == []  # of seeds that only one arm has


def carded(ours: list[str], theirs: list[str], metric: str = "judge_score") -> Decision:
    arms = []
    for name, cards in (("variant", ours), ("baseline", theirs)):
        runs = [
            records({seed: 50.0 + seed}, name=name, metric=metric, hashes={"judge": card}).runs[0]
            for seed, card in enumerate(cards)
        ]
        arms.append(Arm(name, name, {}, tuple(runs)))
    return versus.relation(claim(**(RELATION | {"metric": metric, "direction": "lower"})), *arms, known=True)


def test_scores_of_two_judges_are_told_by_the_first_card_of_each_arm() -> None:
    assert carded(["a", "b"], ["c", "d"]).reason == "other judge: judge=a, baseline judge=c"
    assert carded(["a", "c"], ["c", "c"]).reason == "other judge: judge=a, baseline judge=c"
    assert carded(["a", "a"], ["c", "a"]).reason == "other judge: judge=a, baseline judge=c"
    assert carded(["a"] * 3, ["a"] * 3).verdict is Verdict.NOT_REPRODUCED
    assert carded(["a"] * 3, ["c"] * 3, "test_loss").verdict is Verdict.NOT_REPRODUCED


def test_only_arms_with_equal_histories_are_said_to_be_the_same_run(tmp_path: Path) -> None:
    def arm(name: str, *histories: str) -> Arm:
        runs = []
        for seed, text in enumerate(histories):
            folder = tmp_path / f"{name}{seed}"
            folder.mkdir()
            if text:
                (folder / "history.jsonl").write_text(text)
            values = {seed: 1.0 + seed}
            runs.append(records(values, name=name, metric="test_loss", folder=folder).runs[0])
        return Arm(name, name, {}, tuple(runs))

    first, equal = arm("first", "1", "2"), arm("equal", "1", "2")
    unlike, bare, blank = arm("unlike", "1", "3"), arm("bare", "", ""), arm("blank", "", "")
    said = "both arms have the same losses to the last digit: what differs between them had no effect"
    assert versus._identical(first, equal, [0, 1]) == (said,)
    assert versus._identical(first, unlike, [0, 1]) == versus._identical(bare, blank, [0, 1]) == ()


@pytest.mark.parametrize(("ours", "theirs"), [(math.nan, 1.0), (1.0, math.inf)])
def test_a_ratio_of_an_arm_that_diverged_is_not_reproduced(ours: float, theirs: float) -> None:
    found = quotient({1: ours}, {1: theirs}, metric="test_loss", value=1.0)
    assert found.verdict is Verdict.NOT_REPRODUCED and "1 of 1 runs diverged" in found.reason


def test_the_tolerance_of_a_ratio_is_a_share_of_the_published_one_and_its_border_counts_as_within() -> None:
    for ours, expected in ((2500, True), (1500, True), (2501, False), (1499, False)):
        found = quotient({1: ours}, {1: 1000}, value=2.0, tolerance=0.25).verdict
        assert (found is Verdict.REPRODUCED) is expected
    # an interval of times is as wide as it may be relative to their mean: 0.04 * 4.303 * sqrt(4/3) is 0.1988
    assert timed(1.96, 2.0, 2.04, value=2.0).verdict is Verdict.REPRODUCED
    assert timed(0.48, 0.5, 0.52, value=0.5).verdict is Verdict.INCONCLUSIVE
