"""Intervals, paired tests, equivalence, planning and checks of printed numbers: pure functions over arrays.

Accuracies and gaps are fractions (0..1), never percent. `level` is the coverage of an interval, `alpha` the
size of a test. scipy and statsmodels are imported inside the functions that use them, because they cost about
a second.
"""

from scratchlab.stats.checks import Attainable, Closeness, CountTest, attainable, close, count_test, holm
from scratchlab.stats.family import Family, Outcome, family, p_of_mean, p_of_new_run
from scratchlab.stats.intervals import Interval, Summary, prediction_interval, resolution, summarize, wilson
from scratchlab.stats.paired import Difference, Equivalence, equivalence, hierarchical_bootstrap, paired_difference
from scratchlab.stats.planning import (
    largest_sd,
    mcnemar_power,
    seeds_for_difference,
    seeds_for_equivalence,
    seeds_for_prediction,
    smallest_difference,
    smallest_gap,
)
from scratchlab.stats.right_wrong import McNemar, SignFlip, mcnemar, mcnemar_counts, sign_flip
from scratchlab.stats.samples import TwoSamples, two_samples
from scratchlab.stats.sequential import DIFFERENCE_LEVEL, EQUIVALENCE_ALPHA, INFLATION

__all__ = [
    "Attainable",
    "Closeness",
    "CountTest",
    "DIFFERENCE_LEVEL",
    "Difference",
    "EQUIVALENCE_ALPHA",
    "Equivalence",
    "Family",
    "INFLATION",
    "Interval",
    "McNemar",
    "Outcome",
    "SignFlip",
    "Summary",
    "TwoSamples",
    "attainable",
    "close",
    "count_test",
    "equivalence",
    "family",
    "hierarchical_bootstrap",
    "holm",
    "largest_sd",
    "mcnemar",
    "mcnemar_counts",
    "mcnemar_power",
    "p_of_mean",
    "p_of_new_run",
    "paired_difference",
    "prediction_interval",
    "resolution",
    "seeds_for_difference",
    "seeds_for_equivalence",
    "seeds_for_prediction",
    "sign_flip",
    "smallest_difference",
    "smallest_gap",
    "summarize",
    "two_samples",
    "wilson",
]
