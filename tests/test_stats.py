"""scratchlab.stats against worked examples, scipy, statsmodels and simulated studies."""

import gc
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from scratchlab import stats

# Student 1908, The probable error of a mean: extra hours of sleep under two drugs, ten patients (R's data set `sleep`).
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_the_t_interval_of_students_sleep_data_is_the_one_r_prints():
    # R: t.test(extra ~ group, sleep, paired = TRUE): mean 1.58, 95 % interval 0.7001142 2.4598858
    found = stats.summarize(DRUG_2 - DRUG_1)
    assert found.value == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    assert found.sd == pytest.approx(np.std(DRUG_2 - DRUG_1, ddof=1)) and found.n == 10


def test_the_t_interval_is_scipys():
    values = [0.95, 0.9433, 0.9567, 0.96]
    theirs = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    ours = stats.summarize(values, level=0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_prediction_interval_of_one_to_five_is_the_one_worked_by_hand():
    # mean 3, sd sqrt(2.5), t(4) = 2.776445 (any t table), sqrt(1 + 1/5): 2.776445 * 1.581139 * 1.095445 = 4.808948
    found = stats.prediction_interval([1, 2, 3, 4, 5])
    assert found.half_width == pytest.approx(4.80895, abs=1e-4)
    assert found.contains(7.8) and not found.contains(7.82)


@pytest.mark.parametrize("interval", [stats.summarize, stats.prediction_interval])
def test_one_run_has_an_infinite_interval_and_no_spread(interval):
    found = interval([0.95])
    assert (found.value, found.low, found.high) == (0.95, -math.inf, math.inf)
    assert found.sd is None and found.half_width == math.inf and found.contains(0.0)


def test_equal_deterministic_values_have_a_width_of_exactly_zero():
    # 0.1 three times: numpy's mean is 0.10000000000000002 and its sd 1.7e-17, which must not come through
    found = stats.prediction_interval([0.1, 0.1, 0.1])
    assert (found.value, found.sd, found.half_width) == (0.1, 0.0, 0.0)


def test_equal_accuracies_are_no_proof_of_determinism():
    # two runs with 285 of 300: sd floored at half an item, so t(1) * 0.5 * sqrt(1.5) = 12.7062 * 0.612372 = 7.781 items
    found = stats.prediction_interval([0.95, 0.95], resolution=1 / 300)
    assert found.half_width * 300 == pytest.approx(7.781, abs=1e-3)
    assert found.sd == 0.0, "the measured spread is reported, not the floored one"


def test_the_half_width_of_an_accuracy_is_at_least_one_item():
    assert stats.prediction_interval([0.95] * 100_000, resolution=1 / 300).half_width >= 0.999 / 300


def test_wilson_gives_newcombes_table():
    # Newcombe 1998, Two-sided confidence intervals for the single proportion, table I, method 3
    for successes, total, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = stats.wilson(successes, total)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_statsmodels_and_stays_within_zero_and_one():
    assert (stats.wilson(287, 300).low, stats.wilson(287, 300).high) == pytest.approx(
        proportion_confint(287, 300, method="wilson")
    )
    assert stats.wilson(0, 300).low == 0.0 and stats.wilson(300, 300).high == 1.0


def test_one_item_of_three_hundred_is_a_third_of_a_point():
    assert stats.resolution(300) == 1 / 300


def test_mcnemar_of_the_approval_ratings_is_the_published_one():
    # Agresti, Categorical Data Analysis, table 10.1 (approval of the prime minister): 150 and 86 changed their mind;
    # the exact p printed by R's exact2x2::mcnemar.exact is 3.716e-05
    assert stats.mcnemar_counts(86, 150).p == pytest.approx(3.716e-05, abs=5e-9)
    assert stats.mcnemar_counts(86, 150).p == statsmodels_mcnemar([[794, 150], [86, 570]], exact=True).pvalue


def test_six_items_one_way_are_significant_and_five_are_not():
    # by hand: 2 / 2**6 and 2 / 2**5
    assert stats.mcnemar_counts(6, 0).p == 0.03125
    assert stats.mcnemar_counts(0, 5).p == 0.0625
    assert stats.mcnemar_counts(0, 0).p == 1.0


def test_mcnemar_counts_gained_and_lost_items():
    found = stats.mcnemar([1, 1, 0, 0, 1, 1], [0, 0, 1, 0, 1, 1])
    assert (found.gained, found.lost, found.items, found.discordance) == (2, 1, 6, 0.5)
    assert stats.mcnemar([True, False], [True, True]).lost == 1
    assert stats.mcnemar_counts(3, 1).discordance is None


def test_sign_flip_with_one_seed_is_exact_mcnemar():
    variant, baseline = np.ones(40), np.r_[np.zeros(9), np.ones(31)]
    variant[9:11] = 0
    found = stats.sign_flip(variant, baseline)
    assert found.exact and found.units == 11
    assert found.p == pytest.approx(stats.mcnemar(variant, baseline).p)


def test_sign_flip_of_students_sleep_data_enumerates_every_sign():
    # all 2**10 sign patterns counted here by hand; Fisher's randomisation test
    deltas = np.round(DRUG_2 - DRUG_1, 9)
    sums = [abs(np.dot(signs, deltas)) for signs in itertools.product([-1, 1], repeat=10)]
    by_hand = np.mean(np.array(sums) >= abs(deltas.sum()) - 1e-9)
    assert stats.sign_flip(DRUG_2, DRUG_1).p == pytest.approx(by_hand)


def test_sign_flip_does_not_take_repeated_seeds_for_more_items():
    variant, baseline = np.ones(40), np.r_[np.zeros(5), np.ones(35)]
    once, often = (
        stats.sign_flip(variant, baseline),
        stats.sign_flip(np.tile(variant, (9, 1)), np.tile(baseline, (9, 1))),
    )
    assert often.p == once.p == 0.0625 and often.units == 5


def test_sign_flip_takes_duplicated_items_for_one():
    variant, baseline = np.ones(40), np.r_[np.zeros(10), np.ones(30)]
    found = stats.sign_flip(variant, baseline, clusters=np.arange(40) // 2)
    assert (found.units, found.p, found.value) == (5, 0.0625, 0.25)


@pytest.mark.parametrize(("wrong", "units"), [(0, 0), (1, 1)])
def test_sign_flip_has_nothing_to_say_below_two_differing_items(wrong, units):
    variant = np.ones(10)
    baseline = np.r_[np.zeros(wrong), np.ones(10 - wrong)]
    found = stats.sign_flip(variant, baseline)
    assert (found.p, found.units, found.exact) == (1.0, units, True)


def test_sign_flip_is_the_same_for_the_same_seed():
    draw = np.random.default_rng(0)
    arms = draw.random((3, 50)), draw.random((3, 50))
    assert stats.sign_flip(*arms, seed=4) == stats.sign_flip(*arms, seed=4)
    assert not stats.sign_flip(*arms).exact


def test_the_difference_over_seeds_is_the_paired_t_test():
    # each patient as a seed with one item
    found = stats.paired_difference(DRUG_2[:, None], DRUG_1[:, None], to="seeds")
    assert (found.value, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)
    assert found.p == pytest.approx(0.002833, abs=1e-6)  # R, same call as above
    assert found.p == pytest.approx(scipy.stats.ttest_rel(DRUG_2, DRUG_1).pvalue)


def test_the_difference_over_items_is_the_paired_t_test_too():
    found = stats.paired_difference(DRUG_2, DRUG_1, to="items")
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-7)
    assert (found.seeds, found.items, found.to) == (1, 10, "items")


def test_the_difference_to_both_is_the_one_worked_by_hand():
    # differences [[1, 2], [3, 6]]: mean 3; seed means 1.5 and 4.5, so variance 4.5 / 2 = 2.25; item means 2 and 4,
    # variance 2; residuals +-0.5, mean square 1, item component (2 - 1/2) / 2 = 0.75; t(1) = 12.7062:
    # half-width 12.7062 * sqrt(2.25 + 0.75) = 22.0078
    found = stats.paired_difference([[1.5, 2.5], [3.5, 6.5]], [[0.5] * 2] * 2, to="both")
    assert found.value == 3 and found.half_width == pytest.approx(22.0078, abs=1e-3)
    # p: 3 / sqrt(3) = 1.7320508 = tan(60 degrees) is Student's t with 1 degree of freedom, p = 1 - 60/90
    assert found.p == pytest.approx(1 / 3)


def test_the_p_value_and_the_interval_agree():
    draw = np.random.default_rng(1)
    variant, baseline = draw.normal(0.3, 1, (4, 30)), draw.normal(0, 1, (4, 30))
    for to in ("seeds", "items", "both"):
        p = stats.paired_difference(variant, baseline, to=to).p
        on_zero = stats.paired_difference(variant, baseline, to=to, level=1 - p)
        assert min(abs(on_zero.low), abs(on_zero.high)) < 1e-6


def test_both_is_never_narrower_than_seeds():
    draw = np.random.default_rng(2)
    for _ in range(20):
        arms = draw.random((3, 50)) < 0.9, draw.random((3, 50)) < 0.9
        seeds, both = (stats.paired_difference(*arms, to=to) for to in ("seeds", "both"))
        assert both.half_width >= seeds.half_width and both.p >= seeds.p


@pytest.mark.parametrize("to", ["seeds", "both"])
def test_one_seed_says_nothing_about_new_seeds(to):
    found = stats.paired_difference([1, 0, 1], [0, 0, 1], to=to)
    assert (found.low, found.high, found.p) == (-math.inf, math.inf, None)
    assert "one is too few" in found.note


def test_identical_predictions_leave_room_for_unseen_disagreement():
    # no discordant item of 300: item variance (0 + 1) / 300**2, so t(299) / 300 = 1.967930 / 300
    right = np.ones(300)
    assert stats.paired_difference(right, right, to="items").half_width == pytest.approx(1.96793 / 300, abs=1e-7)
    # three seeds: sd floored at half an item, t(2) * 0.5 / sqrt(3) = 4.302653 * 0.288675 = 1.242069 items
    found = stats.paired_difference(np.ones((3, 300)), np.ones((3, 300)), to="seeds")
    assert found.half_width * 300 == pytest.approx(1.242069, abs=1e-5) and found.p == 1.0


def test_scores_that_never_vary_have_no_p_value():
    found = stats.paired_difference(np.full((3, 4), 7.5), np.full((3, 4), 7.0), to="seeds")
    assert (found.low, found.high, found.p) == (0.5, 0.5, None)


def test_overwhelming_differences_have_a_tiny_p_value_and_no_error():
    baseline = np.random.default_rng(0).normal(0, 1e-6, (5, 50))
    assert 0 < stats.paired_difference(baseline + 1e3, baseline * 2, to="both").p < 1e-30


def test_doubling_every_item_changes_nothing_when_the_pairs_are_clusters():
    draw = np.random.default_rng(3)
    variant, baseline = draw.random((3, 60)) < 0.95, draw.random((3, 60)) < 0.9
    twice = np.repeat(variant, 2, axis=1), np.repeat(baseline, 2, axis=1)
    ids = [f"message {i // 2}" for i in range(120)]
    for to in ("items", "both"):
        once, clustered = (
            stats.paired_difference(variant, baseline, to=to),
            stats.paired_difference(*twice, to=to, clusters=ids),
        )
        assert (clustered.low, clustered.high) == pytest.approx((once.low, once.high))
        assert (clustered.items, clustered.clusters) == (120, 60)
        assert stats.paired_difference(*twice, to=to).half_width < once.half_width


def test_clusters_of_unequal_size_give_the_textbook_cluster_variance():
    # mean over items 1.5; deviations summed by cluster: {1, 2} -> (-0.5 + 0.5) = 0, {0} -> -1.5, {3} -> 1.5;
    # variance of the mean, cluster-robust: C / (C - 1) * sum(sums**2) / n**2 = 3/2 * 4.5 / 16 = 0.421875
    found = stats.paired_difference([1.0, 2.0, 0.0, 3.0], [0.0] * 4, to="items", clusters=[7, 7, 8, 9])
    assert found.value == 1.5
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 2) * math.sqrt(0.421875))


def test_the_bootstrap_with_one_seed_is_scipys_percentile_bootstrap_over_items():
    draw = np.random.default_rng(5)
    variant, baseline = draw.random(300) < 0.95, draw.random(300) < 0.9
    ours = stats.hierarchical_bootstrap(variant, baseline, resamples=9999)
    theirs = scipy.stats.bootstrap(
        ((variant * 1.0 - baseline),), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(0)
    ).confidence_interval
    # both are Monte Carlo: a step of the grid is 1/300
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1.01 / 300)
    assert ours.to == "items" and "nothing about new seeds" in ours.note


def test_the_bootstrap_variance_is_the_one_of_seeds_and_items_together():
    # plug-in variances of the two sets of means plus what their interaction adds (Owen 2007, pigeonhole bootstrap)
    delta = np.random.default_rng(6).normal(size=(12, 80)) + np.random.default_rng(7).normal(size=(12, 1))
    found = stats.hierarchical_bootstrap(delta, np.zeros_like(delta), level=0.6827, resamples=4000)
    rest = delta - delta.mean(0) - delta.mean(1, keepdims=True) + delta.mean()
    variance = delta.mean(1).var() / 12 + delta.mean(0).var() / 80 + rest.var() / (12 * 80)
    assert (found.high - found.low) / 2 == pytest.approx(math.sqrt(variance), rel=0.06)


def test_the_bootstrap_is_the_same_for_the_same_seed_and_warns_below_ten_seeds():
    draw = np.random.default_rng(8)
    arms = draw.random((3, 50)), draw.random((3, 50))
    one, other = stats.hierarchical_bootstrap(*arms, seed=1), stats.hierarchical_bootstrap(*arms, seed=2)
    assert one == stats.hierarchical_bootstrap(*arms, seed=1) and one != other
    assert one.to == "both" and "too narrow" in one.note


def test_equivalence_is_statsmodels_tost():
    for margin in (1.0, 2.0, 3.0):
        p, (_, lower, _), (_, upper, _) = ttost_paired(DRUG_2, DRUG_1, -margin, margin)
        found = stats.equivalence(DRUG_2, DRUG_1, margin=margin)
        assert (found.p, found.p_lower, found.p_upper) == pytest.approx((p, lower, upper))


def test_equivalence_of_four_seeds_is_the_one_worked_by_hand():
    # differences -1, 0, 0, 1: mean 0, sd sqrt(2/3), error 0.408248; margin 1: t = 2.449490 with 3 degrees of freedom,
    # one-sided p 0.045853; 90 % interval +-2.353363 * 0.408248 = +-0.960757
    found = stats.equivalence([4, 5, 6, 8], [5, 5, 6, 7], margin=1)
    assert found.equivalent and found.p == pytest.approx(0.04585, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((-0.960757, 0.960757), abs=1e-5)
    assert found.level == pytest.approx(0.9)


def test_equivalence_holds_exactly_if_the_ninety_percent_interval_lies_inside_the_margin():
    draw = np.random.default_rng(9)
    for _ in range(200):
        found = stats.equivalence(draw.normal(0, 1, 4), draw.normal(0, 1, 4), margin=1.2)
        assert found.equivalent == (-1.2 < found.low and found.high < 1.2)


def test_equivalence_without_any_spread_follows_the_stated_rule():
    base = np.array([0.90, 0.95, 0.97])
    assert stats.equivalence(base + 0.01, base, margin=0.02).p == 0.0
    assert stats.equivalence(base + 0.02, base, margin=0.02).p == 1.0, "on the margin is not inside"
    assert not stats.equivalence(base + 0.03, base, margin=0.02).equivalent
    # the grid of an accuracy hides up to half an item: two seeds cannot show a margin of one item
    assert not stats.equivalence(base[:2], base[:2], margin=1 / 300, resolution=1 / 300).equivalent


def test_equivalence_cannot_be_shown_with_one_seed():
    found = stats.equivalence([0.95], [0.95], margin=0.5)
    assert (found.p, found.low, found.equivalent) == (1.0, -math.inf, False)


def test_mcnemar_power_is_the_sum_over_all_tables_of_a_small_study():
    items, gap, discordance = 14, 0.3, 0.6
    gain, loss = (discordance + gap) / 2, (discordance - gap) / 2
    power = sum(
        scipy.stats.multinomial.pmf([g, l_, items - g - l_], items, [gain, loss, 1 - discordance])
        for g in range(items + 1)
        for l_ in range(items + 1 - g)
        if stats.mcnemar_counts(g, l_).p <= 0.05
    )
    assert stats.mcnemar_power(items, gap, discordance) == pytest.approx(power)


def test_the_smallest_gap_of_three_hundred_items_is_three_to_five_points():
    # normal approximation (Miettinen 1968): 2.8 and 4.6 points at discordance 3 and 8 %; exact is a bit more
    assert stats.smallest_gap(300, 0.03) == pytest.approx(0.028, abs=0.0005)
    assert stats.smallest_gap(300, 0.08) == pytest.approx(0.047, abs=0.0005)
    assert stats.mcnemar_power(300, stats.smallest_gap(300, 0.05), 0.05) == pytest.approx(0.8, abs=1e-3)


def test_some_gaps_cannot_be_found_at_all():
    # 1 % of 300 is three items, and six are needed
    assert stats.smallest_gap(300, 0.01) is None
    assert stats.mcnemar_power(5, 1.0, 1.0) == 0.0 and stats.mcnemar_power(6, 1.0, 1.0) == pytest.approx(1.0)


def test_one_point_at_four_percent_discordance_needs_three_thousand_items():
    # Miettinen: (1.95996 * sqrt(0.04) + 0.84162 * sqrt(0.04 - 0.0001))**2 / 0.0001 = 3138; exact a few percent more
    found = 3290  # docs/statistics.md
    assert 3138 < found < 3138 * 1.06
    assert stats.mcnemar_power(found, 0.01, 0.04) >= 0.8 > stats.mcnemar_power(found - 1, 0.01, 0.04)


def test_seeds_for_a_difference_are_those_of_the_power_tables():
    # Faul et al. 2007 (G*Power), matched pairs, dz = 0.5, two-sided, alpha 0.05, power 0.80: 34 pairs
    assert stats.seeds_for_difference(2.0, 1.0) == 34
    for effect in (0.4, 0.8, 1.5, 2.5):
        theirs = math.ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8))
        assert stats.seeds_for_difference(1.0, -effect) == theirs
    assert stats.seeds_for_difference(0.001, 1.0) == 2 and stats.seeds_for_difference(1.0, 1e-6, limit=500) is None


def test_the_smallest_difference_is_found_with_the_stated_power():
    theirs = TTestPower().solve_power(nobs=5, alpha=0.05, power=0.8)
    assert stats.smallest_difference(0.01, 5) == pytest.approx(0.01 * theirs, rel=1e-3)
    assert stats.smallest_difference(0.01, 1) is None and stats.smallest_difference(0.0, 3) == 0.0


def test_seeds_for_a_prediction_interval_are_the_first_that_fit():
    # sd 1, by hand from t tables: 3 seeds 4.3027 * 1.1547 = 4.97, 4 seeds 3.1824 * 1.1180 = 3.56
    assert stats.seeds_for_prediction(1, 4) == 4
    assert stats.seeds_for_prediction(1, 1.9) is None, "no number of seeds beats 1.96 sd"
    assert stats.seeds_for_prediction(0, 1) == 2


def test_seeds_for_equivalence_approach_the_normal_formula():
    # Julious 2004: (z(0.95) + z(0.90))**2 * (sd / margin)**2 = 8.564 * 100 = 857
    assert stats.seeds_for_equivalence(10, 1) == pytest.approx(857, abs=3)
    assert stats.seeds_for_equivalence(1, 2, difference=2) is None
    assert stats.seeds_for_equivalence(1, 2, difference=1) > stats.seeds_for_equivalence(1, 2)


def test_holm_gives_the_textbook_example():
    # four hypotheses with p 0.01, 0.04, 0.03, 0.005: times 3, (1), 2, 4, made monotone
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert stats.holm([0.5, 0.9]) == (1.0, 1.0) and stats.holm([0.02]) == (0.02,)


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels_to_the_bit(ps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # what makes theirs slow
        assert stats.holm(ps) == tuple(map(float, multipletests(ps, method="holm")[1]))


def test_the_binomial_test_is_conovers_example():
    # Conover 1971, pages 97 to 104, as in R's help of binom.test: 682 of 925 against 3/4
    found = stats.count_test(682, 925, 0.75)
    assert found.p == pytest.approx(0.3825, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((0.7076683, 0.7654066), abs=1e-7)


def test_thirty_two_pizzas_of_a_thousand_are_consistent_with_their_probability():
    # exercise 5.1: 32 of 1,000 draws at temperature 5, where softmax gives 0.0430
    found = stats.count_test(32, 1000, 0.0430)
    assert found.p == pytest.approx(0.10, abs=0.005) and found.expected == pytest.approx(43)
    assert found.contains(0.0430)
    assert stats.count_test(0, 10, 0.0).p == 1.0 and stats.count_test(1, 10, 0.0).p == 0.0


def test_a_percentage_that_no_count_gives_is_found():
    # the published table's row 8, validation accuracy over 149 messages
    found = stats.attainable(99.81, 149, 2)
    assert not found.ok and found.counts == () and found.nearest == (99.33, 100.0)
    assert stats.attainable(95.67, 300, 2).counts == (287,)


def test_grim_finds_the_papers_example():
    # Brown and Heathers 2017: no mean of 28 whole numbers rounds to 5.19; around it are 5.18 and 5.21
    found = stats.attainable(0.19, 28, 2, percent=False)
    assert not found.ok and found.nearest == (0.18, 0.21)


def test_ties_may_be_rounded_either_way():
    # 1/8 is 12.5 %
    assert stats.attainable("12", 8, 0).counts == stats.attainable("13", 8, 0).counts == (1,)
    assert stats.attainable(100, 7, 2).nearest == (100.0,) and stats.attainable(0, 7, 2).counts == (0,)


def test_with_many_items_every_percentage_is_attainable():
    found = stats.attainable("50.00", 100_000, 2)
    assert len(found.counts) == 11


def test_every_count_is_attainable_as_printed():
    for n in (149, 300, 1040, 1045):
        for k in range(n + 1):
            assert k in stats.attainable(f"{100 * k / n:.2f}", n, 2).counts


def test_close_is_relative_to_the_published_number():
    # exercise 5.5, the two losses the author has published for the same model
    found = stats.close(3.7547486888037787, 3.754748503367106, rtol=1e-5)
    assert found.ok and found.relative == pytest.approx(4.94e-8, rel=1e-2)
    assert not stats.close(3.7549, 3.754748503367106, rtol=1e-5).ok
    assert stats.close(0.0, 0.0, rtol=0).ok
    assert not stats.close(1e-9, 0.0, rtol=1).ok and stats.close(1e-9, 0.0, rtol=0, atol=1e-8).ok


NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stats.summarize([]), "values is empty"),
        (lambda: stats.summarize([0.9, NAN]), "1 NaN or infinite of 2"),
        (lambda: stats.summarize([[0.9]]), "has shape"),
        (lambda: stats.summarize(["a"]), "array of numbers"),
        (lambda: stats.summarize([1, 2], level=95), "level is 95"),
        (lambda: stats.prediction_interval([1, math.inf]), "infinite"),
        (lambda: stats.prediction_interval([1, 2], resolution=-1), "resolution is -1"),
        (lambda: stats.resolution(0), "items is 0"),
        (lambda: stats.wilson(5, 4), "successes is 5; possible are 0 to 4"),
        (lambda: stats.wilson(1.5, 4), "whole number"),
        (lambda: stats.mcnemar([1, 0], [1]), "variant has 2 items, baseline 1"),
        (lambda: stats.mcnemar([1, 0.5], [1, 0]), r"right \(1\) or wrong"),
        (lambda: stats.mcnemar_counts(-1, 2), "gained is -1"),
        (lambda: stats.mcnemar_counts(3, 2, items=4), "items is 4"),
        (lambda: stats.sign_flip([1, 0], [1, 0], clusters=[1]), "one id for each of 2 items"),
        (lambda: stats.paired_difference([[1, 0]], [[1, 0], [1, 0]], to="seeds"), r"\(1, 2\), baseline \(2, 2\)"),
        (lambda: stats.paired_difference([[1, 0], [1]], [1, 0], to="seeds"), "equal row lengths"),
        (lambda: stats.paired_difference([1], [NAN], to="seeds"), "baseline holds 1 NaN"),
        (lambda: stats.paired_difference([1], [0], to="all"), "possible are 'seeds', 'items' and 'both'"),
        (lambda: stats.hierarchical_bootstrap([1], [0], resamples=3), "resamples is 3"),
        (lambda: stats.equivalence([1], [1, 2], margin=1), "variant has 1 seeds, baseline 2"),
        (lambda: stats.equivalence([1, 2], [1, 2], margin=0), "margin is 0.0; it must be a finite number above 0"),
        (lambda: stats.equivalence([1, 2], [1, 2], margin=1, alpha=0.6), "below 0.5"),
        (lambda: stats.mcnemar_power(300, 0.05, 0.04), "cannot exceed the discordance"),
        (lambda: stats.mcnemar_power(300, 0.05, 1.04), "discordance is 1.04"),
        (lambda: stats.smallest_gap(300, -0.1), "discordance is -0.1"),
        (lambda: stats.seeds_for_prediction(NAN, 1), "sd is nan"),
        (lambda: stats.seeds_for_difference(1, 0), "difference is 0"),
        (lambda: stats.seeds_for_equivalence(1, 1, power=1), "power is 1"),
        (lambda: stats.smallest_difference(-1, 3), "sd is -1"),
        (lambda: stats.smallest_difference(1, 3, power=0.01), "power must be above alpha"),
        (lambda: stats.holm([]), "p_values is empty"),
        (lambda: stats.holm([0.5, 1.2]), "p_values is 1.2"),
        (lambda: stats.count_test(3, 0, 0.5), "total is 0"),
        (lambda: stats.count_test(3, 5, NAN), "probability is nan"),
        (lambda: stats.attainable(101, 300, 2), "possible are 0 to 100"),
        (lambda: stats.attainable(NAN, 300, 2), "printed is nan"),
        (lambda: stats.attainable(95.667, 300, 2), "more than the stated 2 decimals"),
        (lambda: stats.close(NAN, 1, rtol=1), "measured is nan"),
        (lambda: stats.close(1, 1, rtol=-1), "rtol is -1"),
        (lambda: stats.close(None, 1, rtol=1), "measured is None"),
    ],
)
def test_a_mistake_is_named_with_what_was_found(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_importing_the_statistics_is_cheap():
    root = str(Path(stats.__file__).parents[2])
    code = "import sys, scratchlab.stats; print([m for m in ('scipy', 'statsmodels', 'torch') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_seed_interval_covers_even_with_two_seeds():
    draw = np.random.default_rng(10)
    hits = sum(stats.summarize(draw.normal(0, 1, 2)).contains(0) for _ in range(1000))
    assert 930 <= hits <= 970  # 950 +- 3 standard errors


def test_a_new_run_falls_into_the_prediction_interval_as_often_as_stated():
    draw = np.random.default_rng(11)
    hits = 0
    for _ in range(1000):
        *runs, new = draw.binomial(300, 0.95 + draw.normal(0, 0.005, 4)) / 300
        hits += stats.prediction_interval(runs, resolution=1 / 300).contains(new)
    assert 925 <= hits <= 980


def two_way(draw: np.random.Generator, seeds: int, items: int = 100) -> np.ndarray:
    """Differences without a true mean: seed part, item part and noise of the same weight in the mean."""
    by_seed, by_item = draw.normal(0, math.sqrt(seeds), (seeds, 1)), draw.normal(0, math.sqrt(items), items)
    return by_seed + by_item + draw.normal(0, 3, (seeds, items))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_difference_to_both_keeps_its_level_where_the_bootstrap_does_not(seeds):
    draw = np.random.default_rng(12)
    false_alarms = np.zeros(2)
    for _ in range(400):
        delta = two_way(draw, seeds)
        for index, found in enumerate(
            (
                stats.paired_difference(delta, np.zeros_like(delta), to="both"),
                stats.hierarchical_bootstrap(delta, np.zeros_like(delta), resamples=200),
            )
        ):
            false_alarms[index] += not found.contains(0)
    assert false_alarms[0] / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert false_alarms[1] / 400 > 0.08


def test_mcnemar_keeps_its_level_for_two_models_that_are_equally_good():
    draw = np.random.default_rng(13)
    alarms = sum(stats.mcnemar(draw.random(300) < 0.9, draw.random(300) < 0.9).p <= 0.05 for _ in range(400))
    assert alarms / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_planned_seeds_have_the_planned_power():
    draw = np.random.default_rng(14)
    for_difference, for_equivalence = stats.seeds_for_difference(1.0, 1.0), stats.seeds_for_equivalence(1.0, 1.0)
    found = equal = 0
    for _ in range(1000):
        found += scipy.stats.ttest_1samp(draw.normal(1, 1, for_difference), 0).pvalue <= 0.05
        equal += stats.equivalence(draw.normal(0, 1, for_equivalence), np.zeros(for_equivalence), margin=1.0).equivalent
    assert 0.76 <= found / 1000 <= 0.87 and 0.76 <= equal / 1000 <= 0.87


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_equivalence_is_shown_wrongly_in_at_most_five_percent(seeds):
    draw = np.random.default_rng(15)
    wrong = sum(
        stats.equivalence(draw.normal(2, 1, seeds), np.zeros(seeds), margin=2).equivalent for _ in range(20_000)
    )
    assert wrong / 20_000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("to", ["seeds", "both"])
def test_identical_configs_are_called_different_in_at_most_five_percent(seeds, to):
    # right/wrong outcomes: a seed moves the accuracy by about a point, items differ in difficulty
    draw = np.random.default_rng(16)
    alarms, studies = 0, 4000
    for _ in range(studies):
        ease = 13.2 + 8 * draw.standard_normal(300)
        arms = ease + 0.68 * draw.standard_normal((2, seeds, 1)) + draw.standard_normal((2, seeds, 300)) > 0
        alarms += stats.paired_difference(*arms, to=to).p <= 0.05
    assert alarms / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_the_largest_spread_behind_three_values_and_the_seeds_that_it_takes() -> None:
    # chi-squared with 2 degrees: its 20% quantile is -2 ln 0.8
    assert stats.largest_sd(1.0, 3) == pytest.approx(math.sqrt(2 / (-2 * math.log(0.8))))
    assert stats.largest_sd(1.0, 1) == math.inf
    assert stats.seeds_for_prediction(0.01, 0.03) == 6
    more = stats.seeds_for_prediction(0.01, 0.03, power=0.8)
    assert more is not None and more > 6


def test_a_family_of_independent_tests_follows_the_binomial_and_one_of_twins_does_not() -> None:
    alone = stats.family(stats.Outcome(str(i), 0.05, i < 2) for i in range(20))
    assert alone.p_count == pytest.approx(1 - 0.95**20 - 20 * 0.05 * 0.95**19)
    assert (alone.low, alone.high) == (0, 3)
    twins = stats.family(stats.Outcome("one", 0.05, True, 0.04) for _ in range(2))
    assert twins.p_count == pytest.approx(0.05) and twins.beyond
    assert not stats.family([]).beyond


def test_the_p_of_a_new_run_is_5_percent_at_the_end_of_its_interval() -> None:
    found = stats.prediction_interval([0.94, 0.95, 0.97])
    assert stats.p_of_new_run(found, found.half_width) == pytest.approx(0.05)
    mean = stats.summarize([0.94, 0.95, 0.97])
    assert stats.p_of_mean(mean, mean.half_width) == pytest.approx(0.025)
