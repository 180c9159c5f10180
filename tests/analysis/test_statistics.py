"""Intervals, by hand and against scipy."""
import pytest
from scipy import stats

from lth.analysis.statistics import Comparison, Interval, compare_paired, confidence_interval, verdict


def test_two_values_by_hand():
    # s = √2, t(0.975, 1) = 12.7062, margin = 12.7062 · √2 / √2
    mean, margin, n = confidence_interval([1., 3.])
    assert (mean, n) == (2., 2)
    assert margin == pytest.approx(12.7062, abs=1e-4)


def test_five_values_equal_scipy():
    values = [97.2, 97.9, 98.1, 97.7, 98.0]
    mean, margin, _ = confidence_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=mean, scale=stats.sem(values))
    assert (mean - margin, mean + margin) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    assert confidence_interval([5.]) == (5., None, 1)


def test_a_paired_comparison_by_hand():
    # Differences 1, 2, 3: mean 2, s = 1, standard error 1/√3, t = 2√3 = 3.4641 with 2 degrees of freedom.
    difference, p = compare_paired([5., 7., 9.], [4., 5., 6.])
    assert difference.mean == 2. and difference.margin == pytest.approx(4.3027 / 3 ** 0.5, abs=1e-4)
    assert p == pytest.approx(0.0742, abs=1e-4)


def test_a_paired_comparison_equals_scipy():
    ones, others = [97.2, 97.9, 98.1, 97.7, 98.0], [96.9, 97.1, 98.2, 97.0, 97.7]
    expected = stats.ttest_rel(ones, others)
    difference, p = compare_paired(ones, others)
    low, high = expected.confidence_interval(0.95)
    assert p == pytest.approx(expected.pvalue)
    assert (difference.mean - difference.margin, difference.mean + difference.margin) == pytest.approx((low, high))


def test_one_seed_allows_neither_an_interval_nor_a_verdict():
    comparison = compare_paired([0.9], [0.5])
    assert comparison == Comparison(Interval(pytest.approx(0.4), None, 1), None)
    assert verdict(comparison) == 'undecided'


@pytest.mark.parametrize(('ones', 'p'), [([1., 2., 3.], 1.), ([2., 3., 4.], 0.)])
def test_differences_that_are_all_equal_have_an_interval_of_no_width(ones, p):
    comparison = compare_paired(ones, [1., 2., 3.])
    assert (comparison.difference.margin, comparison.p) == (0., p)


@pytest.mark.parametrize(('mean', 'margin', 'says'), [
    (0.046, 0.008, 'survives'), (-0.002, 0.006, 'fails'), (0.003, 0.006, 'fails'), (0.01, 0.03, 'undecided'),
    (-0.05, 0.01, 'fails'), (0.006, 0.006, 'undecided')])
def test_a_ticket_survives_above_zero_fails_within_a_point_and_else_the_question_is_open(mean, margin, says):
    assert verdict(Comparison(Interval(mean, margin, 5), 0.5)) == says
