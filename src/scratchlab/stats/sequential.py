"""Levels that hold although seeds are added one at a time until something is decided."""

LOOKS = (3, 20)
"""Numbers of seeds, first and last, at each of which one may look."""
DIFFERENCE_LEVEL = 0.9925
"""Of each two-sided t interval, so that all of them together are wrong on either side 2.5% of the time at most."""
EQUIVALENCE_ALPHA = 0.008
"""Of each pair of one-sided tests, so that all of them together are wrong 5% of the time at most."""
INFLATION = 0.025 / ((1 - DIFFERENCE_LEVEL) / 2)
"""A p value of one look, times this, is one of all looks."""
