"""Intervals, by hand and against scipy."""
import pytest
from scipy import stats

from lth.statistics import interval


def test_two_values_by_hand():
    # s = √2, t(0.975, 1) = 12.7062, margin = 12.7062 · √2 / √2
    mean, margin, n = interval([1., 3.])
    assert (mean, n) == (2., 2)
    assert margin == pytest.approx(12.7062, abs=1e-4)


def test_five_values_equal_scipy():
    values = [97.2, 97.9, 98.1, 97.7, 98.0]
    mean, margin, _ = interval(values)
    low, high = stats.t.interval(0.95, 4, loc=mean, scale=stats.sem(values))
    assert (mean - margin, mean + margin) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    assert interval([5.]) == (5., None, 1)
