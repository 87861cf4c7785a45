"""scratchlab.stats at the ends of what it takes, and what it does where an argument is left out.

Values are worked out beside each test: by hand, by counting, or by scipy and numpy from the published formula.
"""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from scratchlab import stats
from scratchlab.stats.intervals import floored, spread
from scratchlab.stats.paired import by_cluster
from scratchlab.stats.planning import _smallest, _t_power, _tost_power

RUNS = [0.93, 0.95, 0.96]
ARMS = ([[1, 0, 1, 1], [1, 1, 1, 0]], [[0, 0, 1, 1], [0, 1, 1, 1]])


CALLS = [
    (stats.summarize, (RUNS,), {"level": 0.95, "resolution": None}),
    (stats.prediction_interval, (RUNS,), {"level": 0.95, "resolution": None}),
    (stats.wilson, (3, 10), {"level": 0.95}),
    (stats.count_test, (3, 10, 0.2), {"level": 0.95}),
    (stats.attainable, ("95.67", 300, 2), {"percent": True}),
    (partial(stats.close, rtol=0.1), (1.0, 1.5), {"atol": 0}),
    (partial(stats.paired_difference, to="both"), ARMS, {"level": 0.95}),
    (stats.hierarchical_bootstrap, ARMS, {"level": 0.95, "resamples": 2000, "seed": 0}),
    (partial(stats.equivalence, margin=0.03), (RUNS, [0.94, 0.95, 0.94]), {"alpha": 0.05}),
    (stats.mcnemar_power, (300, 0.03, 0.05), {"alpha": 0.05}),
    (stats.smallest_gap, (300, 0.05), {"alpha": 0.05, "power": 0.8}),
    (stats.largest_sd, (0.01, 3), {"assurance": 0.8}),
    (stats.seeds_for_prediction, (0.01, 0.022), {"level": 0.95, "power": None}),
    (stats.seeds_for_difference, (1, 0.5), {"alpha": 0.05, "power": 0.8}),
    (stats.smallest_difference, (1, 5), {"alpha": 0.05, "power": 0.8}),
    (stats.seeds_for_equivalence, (1, 0.5), {"difference": 0, "alpha": 0.05, "power": 0.8}),
]


@pytest.mark.parametrize(("function", "arguments", "left_out"), CALLS)
def test_an_argument_that_is_left_out_is_95_percent_5_percent_or_80_percent(function, arguments, left_out):
    assert function(*arguments) == function(*arguments, **left_out)


TWO = [0.9, 0.95]


@pytest.mark.parametrize(
    "call",
    [
        lambda end: stats.summarize(TWO, level=end),
        lambda end: stats.wilson(1, 2, level=end),
        lambda end: stats.count_test(1, 2, 0.5, level=end),
        lambda end: stats.paired_difference(TWO, TWO, to="items", level=end),
        lambda end: stats.hierarchical_bootstrap(TWO, TWO, level=end),
        lambda end: stats.equivalence(TWO, TWO, margin=1, alpha=end),
        lambda end: stats.mcnemar_power(10, 0.1, 0.2, alpha=end),
        lambda end: stats.smallest_gap(10, 0.2, power=end),
        lambda end: stats.largest_sd(1, 3, assurance=end),
        lambda end: stats.seeds_for_prediction(1, 3, level=end),
        lambda end: stats.seeds_for_prediction(1, 3, power=end),
        lambda end: stats.seeds_for_difference(1, 1, power=end),
        lambda end: stats.smallest_difference(1, 3, power=end),
        lambda end: stats.smallest_difference(1, 3, alpha=end),
        lambda end: stats.seeds_for_equivalence(1, 3, power=end),
        lambda end: stats.seeds_for_equivalence(1, 3, alpha=end),
    ],
)
@pytest.mark.parametrize("end", [0, 1])
def test_no_level_is_certain(call, end):
    with pytest.raises(ValueError, match=f"is {end}.0; it must lie inside 0..1"):
        call(end)


def test_one_item_or_one_draw_is_enough():
    z2 = scipy.stats.norm.ppf(0.975) ** 2
    one, none = stats.wilson(1, 1), stats.wilson(0, 1)
    assert stats.resolution(1) == 1.0
    # Wilson's formula for 1 of 1 is 1 / (1 + z^2), and for 0 of 1 the rest to one
    assert (one.value, one.low, one.high) == pytest.approx((1, 1 / (1 + z2), 1))
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, z2 / (1 + z2)))
    # one coin: both sides are equally likely, and 0.025 of heads would still give a head in 2.5 % of the throws
    coin = stats.count_test(1, 1, 0.5)
    assert (coin.value, coin.low, coin.high, coin.p, coin.expected) == pytest.approx((1, 0.025, 1, 1, 0.5))
    assert stats.attainable(100, 1, 0).counts == (1,) and not stats.attainable(50.1, 1, 1).ok
    assert stats.mcnemar_power(1, 0.5, 0.5) == 0.0


def test_the_parts_of_a_proportion_are_told():
    assert stats.wilson(7, 10).value == 0.7
    found = stats.count_test(7, 20, 0.5)
    assert (found.value, found.expected) == (0.35, 10.0)


def test_the_ends_of_an_interval_belong_to_it():
    interval = stats.Interval(0.5, 0.4, 0.6, 0.95)
    assert interval.contains(0.4) and interval.contains(0.6)
    assert not interval.contains(0.39) and not interval.contains(0.61)


def test_one_run_is_told_as_one():
    for interval in (stats.summarize, stats.prediction_interval):
        assert interval([0.9]).n == 1 and interval([0.9, 0.95]).n == 2


def test_the_half_width_is_the_longer_side():
    assert stats.Interval(0.5, 0.2, 0.6, 0.95).half_width == pytest.approx(0.3)
    assert stats.Interval(0.5, 0.4, 0.9, 0.95).half_width == pytest.approx(0.4)


def test_a_difference_in_the_last_bits_is_no_spread():
    assert spread(np.array([1.0, 1.0 + 9e-13])) == (1.0, 0.0)
    assert spread(np.array([0.0, 1e-12]), scale=1.0) == (0.0, 0.0)
    mean, sd = spread(np.array([0.0, 3e-12]), scale=1.0)
    assert (mean, sd) == pytest.approx((1.5e-12, 3e-12 / math.sqrt(2)))


def test_a_floor_of_nothing_is_allowed_and_half_a_step_is_the_floor():
    assert floored(0.25, None) == floored(0.25, 0) == floored(0.25, 0.5) == 0.25
    assert floored(0.25, 0.6) == 0.3


def test_clusters_sum_their_items_deviations():
    delta = np.array([[1.0, 0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0]])
    grand = 0.3  # 3 of 10
    # first cluster: items 0, 1, 2; second: 3 and 4. Two clusters on five items: a deviation counts 2 / 5
    by_hand = [[grand + (1 - 0.9) * 0.4, grand + (0 - 0.6) * 0.4], [grand + (1 - 0.9) * 0.4, grand + (1 - 0.6) * 0.4]]
    assert by_cluster(delta, ["a", "a", "a", "b", "b"]) == pytest.approx(np.array(by_hand))


def drawn(groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The means of a bootstrap over seeds and items, one draw at a time."""
    seeds, units = groups.shape
    draw = np.random.default_rng(seed)
    items, rows = draw.integers(0, units, (resamples, units)), draw.integers(0, seeds, (resamples, seeds))
    return np.array([groups[np.ix_(r, i)].mean() for r, i in zip(rows, items, strict=True)])


@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.3, 2.0])
def test_the_bootstrap_is_the_one_of_drawing_one_at_a_time(shift):
    values = np.random.default_rng(5).normal(shift, 1, (3, 12))
    means = drawn(values, 200, 7)
    found = stats.hierarchical_bootstrap(values, np.zeros((3, 12)), level=0.9, resamples=200, seed=7)
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.05, 0.95]))
    tail = min((means <= 0).sum(), (means >= 0).sum())
    assert found.p == pytest.approx(min(1.0, 2 * (tail + 1) / 201))
    assert (found.to, found.seeds, found.items, found.clusters) == ("both", 3, 12, 12)


def test_a_bootstrap_of_no_difference_at_all_has_p_1():
    assert stats.hierarchical_bootstrap(TWO, TWO, resamples=100).p == 1.0


def test_the_bootstrap_warns_up_to_nine_seeds():
    def note(seeds: int) -> str:
        values = np.arange(4.0 * seeds).reshape(seeds, 4)
        return stats.hierarchical_bootstrap(values, values[::-1], resamples=100).note

    assert "too narrow" in note(2) and "too narrow" in note(9) and "too narrow" not in note(10)
    assert "nothing about new seeds" in note(1)


def test_many_items_are_drawn_in_blocks_of_four_million():
    # 40,000 items: the items of a hundred draws, then their seeds, then the next hundred
    values = np.random.default_rng(2).normal(0, 1, (2, 40_000))
    draw, means = np.random.default_rng(0), []
    for rows in (100, 50):
        items, seeds = draw.integers(0, 40_000, (rows, 40_000)), draw.integers(0, 2, (rows, 2))
        means += [values[s][:, i].mean() for s, i in zip(seeds, items, strict=True)]
    found = stats.hierarchical_bootstrap(values, np.zeros((2, 40_000)), resamples=150)
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]))


def alpha_at_zero(found: stats.Difference, variant: np.ndarray, baseline: np.ndarray, to: str) -> float:
    """The alpha whose interval just reaches zero, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = abs(found.value) <= stats.paired_difference(variant, baseline, to=to, level=1 - middle).half_width
        low, high = (middle, high) if inside else (low, middle)
    return low


@pytest.mark.parametrize("shift", [0.02, 0.3, 1.0, 3.0])
def test_the_p_to_both_is_the_alpha_at_which_the_interval_touches_zero(shift):
    draw = np.random.default_rng(3)
    of_seeds, of_items = draw.normal(0, 0.5, (4, 1)), draw.normal(0, 1, (1, 30))
    variant, baseline = draw.normal(shift, 0.3, (4, 30)) + of_seeds + of_items, np.zeros((4, 30))
    found = stats.paired_difference(variant, baseline, to="both")
    assert found.p == pytest.approx(alpha_at_zero(found, variant, baseline, "both"), rel=1e-6)


def test_half_an_imagined_item_each_way_is_in_the_variance_over_items():
    # right/wrong, two items, both right in both arms: variance 0 + 1 / 2^2, so the half-width is t(1) / 2
    found = stats.paired_difference([1, 1], [1, 1], to="items")
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 1) / 2)
    # and over seeds half a step of 1/2: sd 1/4, over two seeds
    found = stats.paired_difference([[1, 1]] * 2, [[1, 1]] * 2, to="seeds")
    assert found.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 1) / 4 / math.sqrt(2))


def crossed(delta: np.ndarray, level: float) -> float:
    """The half-width to both by the mean squares of a crossed two-way layout, seeds by items."""
    (seeds, n), grand = delta.shape, delta.mean()
    rows, columns = delta.mean(axis=1), delta.mean(axis=0)
    by_seed, by_item = n * ((rows - grand) ** 2).sum() / (seeds - 1), seeds * ((columns - grand) ** 2).sum() / (n - 1)
    rest = sum((delta[s, i] - rows[s] - columns[i] + grand) ** 2 for s in range(seeds) for i in range(n))
    component = max(0.0, (by_item - rest / (seeds - 1) / (n - 1)) / seeds)
    t = [scipy.stats.t.ppf((1 + level) / 2, degrees) for degrees in (seeds - 1, n - 1)]
    return float(np.sqrt(t[0] ** 2 * by_seed / n / seeds + t[1] ** 2 * component / n))


@pytest.mark.parametrize("of_items", [0.0, 0.01, 0.3])
def test_the_width_to_both_is_that_of_the_crossed_layouts_mean_squares(of_items):
    draw = np.random.default_rng(8)
    delta = draw.normal(0.1, 0.1, (4, 9)) + draw.normal(0, 0.05, (4, 1)) + draw.normal(0, of_items, (1, 9))
    found = stats.paired_difference(delta, np.zeros((4, 9)), to="both", level=0.9)
    assert found.half_width == pytest.approx(crossed(delta, 0.9))


def test_equivalence_counts_the_ends_by_what_is_stated():
    # no spread at all: inside the margin p is 0, on it 1, and rounding of the last bit does not bring it inside
    assert stats.equivalence([1, 1], [0.5, 0.5], margin=0.6).p == 0.0
    on = stats.equivalence([1, 1], [0.5, 0.5], margin=0.5)
    assert (on.p_lower, on.p_upper, on.equivalent) == (0.0, 1.0, False)
    other = stats.equivalence([0.5, 0.5], [1, 1], margin=0.5)
    assert (other.p_lower, other.p_upper, other.equivalent) == (1.0, 0.0, False)
    rounded = stats.equivalence([0.3, 0.3], [0.2, 0.2], margin=0.1)  # 0.3 - 0.2 is 1.4e-17 below 0.1
    assert rounded.p_upper == 1.0 and rounded.low == rounded.high == rounded.value
    assert stats.equivalence([1e6 - 1e-7] * 2, [0, 0], margin=1e6).p_upper == 1.0  # 1e-13 of the margin is rounding
    # a p that is alpha is small enough
    p = stats.equivalence(RUNS, [0.94, 0.95, 0.94], margin=0.03).p
    assert stats.equivalence(RUNS, [0.94, 0.95, 0.94], margin=0.03, alpha=p).equivalent
    with pytest.raises(ValueError, match="below 0.5"):
        stats.equivalence(TWO, TWO, margin=1, alpha=0.5)
    one = stats.equivalence([0.9], [0.8], margin=1)
    assert (one.value, one.p_lower, one.p_upper, one.seeds) == (pytest.approx(0.1), 1.0, 1.0, 1)
    assert one.level == pytest.approx(0.9) and not one.equivalent


def test_exact_mcnemar_has_the_power_that_counting_every_table_gives():
    def counted(items: int, gap: float, discordance: float, alpha: float) -> float:
        better, worse = (discordance + gap) / 2, (discordance - gap) / 2
        total = 0.0
        for b, c in itertools.product(range(items + 1), repeat=2):
            if b + c <= items and min(1.0, 2 * scipy.stats.binom.cdf(min(b, c), b + c, 0.5)) <= alpha:
                total += scipy.stats.multinomial.pmf([b, c, items - b - c], items, [better, worse, 1 - discordance])
        return total

    for items, gap, discordance in ((20, 0.2, 0.4), (12, 0.6, 0.9), (9, 0.5, 1.0), (6, 0.9, 0.9)):
        expected = counted(items, gap, discordance, 0.05)
        assert stats.mcnemar_power(items, gap, discordance) == pytest.approx(expected, rel=1e-9)
        assert stats.mcnemar_power(items, -gap, discordance) == pytest.approx(expected, rel=1e-9)
    # six items, all one way: exactly 2 / 2^6 = 1 / 32, which is at most that alpha and no smaller one
    assert stats.mcnemar_power(6, 1, 1, alpha=1 / 32) == pytest.approx(1.0)
    assert stats.mcnemar_power(6, 1, 1, alpha=0.031) == pytest.approx(0.0)
    assert stats.mcnemar_power(300, 0, 0) == 0.0 and stats.mcnemar_power(300, 0.01, 0.01) > 0


def mcnemar_power_of_every_split(items: int, gap: float, discordance: float, alpha: float) -> float:
    """As the sum over every number of discordant items, each with its own critical count."""
    total = 0.0
    for split in range(items + 1):
        counts = np.arange(split + 1)
        extreme = 2 * scipy.stats.binom.cdf(np.minimum(counts, split - counts), split, 0.5) <= alpha
        better = scipy.stats.binom.pmf(counts, split, (1 + gap / discordance) / 2)
        total += float(scipy.stats.binom.pmf(split, items, discordance) * better[extreme].sum())
    return total


@pytest.mark.parametrize(("items", "gap", "discordance"), [(100, 0.03, 0.04), (900, 0.05, 0.5), (40, 0.2, 0.9)])
def test_exact_mcnemar_has_the_power_of_every_split(items, gap, discordance):
    expected = mcnemar_power_of_every_split(items, gap, discordance, 0.05)
    assert stats.mcnemar_power(items, gap, discordance) == pytest.approx(expected, rel=1e-9)


def test_a_gap_that_is_found_has_the_stated_power_and_no_smaller_one_has():
    gap = stats.smallest_gap(300, 0.06, power=0.7)
    assert stats.mcnemar_power(300, gap, 0.06) == pytest.approx(0.7, abs=1e-3)
    assert stats.smallest_gap(300, 0.0) is None
    most = stats.mcnemar_power(300, 0.06, 0.06)
    assert stats.smallest_gap(300, 0.06, power=most) == pytest.approx(0.06, abs=1e-5)


def test_the_largest_spread_is_the_bound_of_the_chi_square():
    for n, assurance in ((2, 0.8), (3, 0.9), (10, 0.5)):
        expected = 0.02 * math.sqrt((n - 1) / scipy.stats.chi2.ppf(1 - assurance, n - 1))
        assert stats.largest_sd(0.02, n, assurance=assurance) == pytest.approx(expected)
    assert stats.largest_sd(0.02, 1) == math.inf and stats.largest_sd(0, 5) == 0.0


def test_seeds_for_a_prediction_are_those_of_the_formula():
    def half_width(seeds: int, factor: float = 1.0) -> float:
        return factor * scipy.stats.t.ppf(0.975, seeds - 1) * math.sqrt(1 + 1 / seeds)

    for cap in (3.0, 2.5, 2.1, 16.0, 15.0):
        expected = next(s for s in range(2, 1000) if half_width(s) <= cap)
        assert stats.seeds_for_prediction(1, cap) == expected
    for cap in (3.0, 2.5):
        seen = (math.sqrt(scipy.stats.chi2.ppf(0.9, s - 1) / (s - 1)) for s in itertools.count(2))
        expected = next(s for s, factor in enumerate(seen, start=2) if half_width(s, factor) <= cap)
        assert stats.seeds_for_prediction(1, cap, power=0.9) == expected
    exactly = float(scipy.special.stdtrit(4, 0.975)) * math.sqrt(1 + 1 / 5)
    assert stats.seeds_for_prediction(1, exactly) == 5
    assert stats.seeds_for_prediction(0, 1) == 2
    assert stats.seeds_for_prediction(1, 1.9) is None


def t_power(effect: float, seeds: int, alpha: float) -> float:
    """Of a two-sided t test, by the noncentral t."""
    critical, shift = scipy.stats.t.ppf(1 - alpha / 2, seeds - 1), effect * math.sqrt(seeds)
    return scipy.stats.nct.sf(critical, seeds - 1, shift) + scipy.stats.nct.cdf(-critical, seeds - 1, shift)


@pytest.mark.parametrize(("effect", "alpha", "power"), [(0.5, 0.05, 0.8), (1.0, 0.01, 0.9), (2.0, 0.05, 0.5)])
def test_seeds_for_a_difference_are_those_of_the_noncentral_t(effect, alpha, power):
    expected = next(s for s in range(2, 200) if t_power(effect, s, alpha) >= power)
    assert stats.seeds_for_difference(1, effect, alpha=alpha, power=power) == expected
    assert stats.seeds_for_difference(2, -2 * effect, alpha=alpha, power=power) == expected
    found = stats.smallest_difference(3, expected, alpha=alpha, power=power)
    assert t_power(found / 3, expected, alpha) == pytest.approx(power, abs=2e-3)


def test_a_power_far_below_a_half_counts_both_sides():
    for seeds in (3, 5, 20):
        found = stats.smallest_difference(1, seeds, power=0.08)
        assert t_power(found, seeds, 0.05) == pytest.approx(0.08, abs=5e-4)


@pytest.mark.parametrize(("seeds", "difference"), [(3, 0.0), (4, 0.2), (8, 0.4), (30, 0.1)])
def test_the_power_of_equivalence_is_the_integral_over_the_spread_that_will_be_seen(seeds, difference):
    def at(sd: float) -> float:
        error, room = 1 / math.sqrt(seeds), 1.5 - scipy.stats.t.ppf(0.95, seeds - 1) * sd / math.sqrt(seeds)
        ends = [scipy.stats.norm.cdf((end - difference) / error) for end in (room, -room)]
        return max(0.0, ends[0] - ends[1]) * 2 * sd * (seeds - 1) * scipy.stats.chi2.pdf(sd**2 * (seeds - 1), seeds - 1)

    expected = scipy.integrate.quad(at, 0, 6, limit=200)[0]
    assert _tost_power(1, 1.5, difference, seeds, 0.05) == pytest.approx(expected, abs=5e-4)
    assert _tost_power(2, 3.0, 2 * difference, seeds, 0.05) == pytest.approx(expected, abs=5e-4)


def test_a_power_that_is_just_reached_is_enough():
    assert stats.seeds_for_difference(1, 0.5, power=_t_power(1, 0.5, 20, 0.05)) == 20
    assert stats.seeds_for_equivalence(1, 0.5, power=_tost_power(1, 0.5, 0, 40, 0.05)) == 40


def test_more_than_ten_thousand_seeds_are_none_unless_more_are_allowed():
    one, other = _t_power(1, 0.03, 10_001, 0.05), _tost_power(1, 0.03, 0, 10_001, 0.05)
    assert stats.seeds_for_difference(1, 0.03, power=one) is None
    assert stats.seeds_for_difference(1, 0.03, power=one, limit=10_001) == 10_001
    assert stats.seeds_for_equivalence(1, 0.03, power=other) is None
    assert stats.seeds_for_equivalence(1, 0.03, power=other, limit=10_001) == 10_001


def test_without_a_spread_any_difference_is_found_for_certain():
    assert _t_power(0.0, 0.1, 3, 0.05) == _tost_power(0.0, 0.1, 0.0, 3, 0.05) == 1.0


def test_designs_at_the_ends_of_what_can_be_asked():
    assert stats.seeds_for_difference(0, 0.001) == 2 and stats.seeds_for_equivalence(0, 0.001) == 2
    assert stats.smallest_difference(1, 1) is None and stats.smallest_difference(0, 2) == 0.0
    with pytest.raises(ValueError, match="power must be above alpha"):
        stats.smallest_difference(1, 3, alpha=0.3, power=0.3)
    assert stats.seeds_for_equivalence(1, 0.5, difference=0.5) is None
    assert stats.seeds_for_equivalence(1, 0.5, difference=0.5, alpha=0.4, power=0.3) is None  # by luck alone
    assert stats.seeds_for_equivalence(1, 0.5, difference=-0.5) is None
    with pytest.raises(ValueError, match="margin is 0.0"):
        stats.seeds_for_equivalence(1, 0)
    with pytest.raises(ValueError, match="cap is 0.0"):
        stats.seeds_for_prediction(1, 0)


def test_seeds_for_equivalence_have_the_power_of_simulated_studies():
    # twelve thousand studies of the size that is advised, and of one seed fewer
    seeds = stats.seeds_for_equivalence(1, 1.2, difference=0.3)

    def shown(n: int) -> float:
        values = np.random.default_rng(11).normal(0.3, 1, (12_000, n))
        room = 1.2 - scipy.stats.t.ppf(0.95, n - 1) * values.std(axis=1, ddof=1) / math.sqrt(n)
        return float((np.abs(values.mean(axis=1)) <= room).mean())

    assert shown(seeds) > 0.79 and shown(seeds - 1) < 0.81
    assert stats.seeds_for_equivalence(1, 1.2, difference=-0.3) == seeds


@pytest.mark.parametrize("first", [2, 3, 4, 5, 8, 9, 31, 32, 33, 99, 100])
def test_the_smallest_number_is_found_wherever_it_lies(first):
    asked: list[int] = []

    def enough(number: int) -> bool:
        asked.append(number)
        return number >= first

    assert _smallest(enough, 2, 100) == first
    assert min(asked) >= 2 and max(asked) <= 100 and len(asked) <= 14
    assert _smallest(lambda number: number >= 101, 2, 100) is None


def test_ten_thousand_seeds_are_the_most_that_is_looked_at():
    # the half-width falls to 1.96 sd as seeds grow: with a cap just above that, ten thousand are not enough
    t = scipy.stats.t.ppf(0.975, 9_999) * math.sqrt(1 + 1 / 10_000)
    after = scipy.stats.t.ppf(0.975, 10_000) * math.sqrt(1 + 1 / 10_001)
    assert stats.seeds_for_prediction(1, t * (1 + 1e-12)) == 10_000
    assert stats.seeds_for_prediction(1, (t + after) / 2) is None
    assert stats.seeds_for_prediction(1, (t + after) / 2, limit=10_001) == 10_001


def test_grim_counts_are_those_of_trying_every_count():
    for n, decimals, percent in ((7, 1, True), (300, 2, True), (29, 0, True), (12, 2, False), (3, 0, False)):
        scale = 100 if percent else 1
        for k in range(0, n + 1, max(1, n // 7)):
            printed = f"{scale * k / n:.{decimals}f}"
            half = 0.5 * 10**-decimals * (1 + 1e-9)
            expected = tuple(j for j in range(n + 1) if abs(scale * j / n - float(printed)) <= half)
            found = stats.attainable(printed, n, decimals, percent=percent)
            assert found.ok and found.counts == expected
            assert all(abs(value - float(printed)) <= scale / n + half for value in found.nearest)
    assert stats.attainable(0, 300, 2).counts == (0,) and stats.attainable(0, 300, 2).nearest == (0.0, 0.33)
    assert stats.attainable(100, 300, 2).counts == (300,) and stats.attainable(100, 300, 2).nearest == (100.0,)
    with pytest.raises(ValueError, match="possible are 0 to 1"):
        stats.attainable("1.01", 300, 2, percent=False)
    with pytest.raises(ValueError, match="possible are 0 to 100"):
        stats.attainable(-0.01, 300, 2)


def test_close_at_its_border():
    assert stats.close(1.25, 1.0, rtol=0.25).ok and not stats.close(1.2501, 1.0, rtol=0.25).ok
    assert stats.close(1.25, 1.0, rtol=0, atol=0.25).ok
    found = stats.close(-3.0, -2.0, rtol=0.1)
    assert (found.ok, found.difference, found.relative) == (False, -1.0, 0.5)
    assert not stats.close(3.0, 2.0, rtol=0.1).ok and stats.close(0.0, 0.0, rtol=0).relative == 0.0
    same = stats.close(2.0, 2.0, rtol=0)
    assert (same.difference, same.relative) == (0.0, 0.0)
    assert stats.close(0.1, 0.0, rtol=0.5).relative == math.inf
