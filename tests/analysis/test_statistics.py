"""Confidence intervals, paired comparisons and verdicts, by hand."""
import pytest

from lth.analysis.statistics import Comparison, Interval, compare_paired, confidence_interval, verdict


def test_the_interval_of_two_values():
    # s = √2, t(0.975, 1) = 12.7062, margin = 12.7062 · √2 / √2
    mean, margin, n = confidence_interval([1., 3.])
    assert (mean, n) == (2., 2)
    assert margin == pytest.approx(12.7062, abs=1e-4)


def test_the_interval_of_five_values():
    # Squared deviations from 97.78 add up to 0.508, s = √0.127, t(0.975, 4) = 2.77645, margin = 2.77645 · s / √5
    mean, margin, n = confidence_interval([97.2, 97.9, 98.1, 97.7, 98.0])
    assert (mean, n) == (pytest.approx(97.78), 5)
    assert margin == pytest.approx(0.44249, abs=1e-5)


def test_one_value_has_no_interval():
    assert confidence_interval([5.]) == (5., None, 1)


@pytest.mark.parametrize('value', [0.1, 0.7, 1 / 3])
def test_equal_values_have_an_interval_of_exactly_no_width(value):
    assert confidence_interval([value] * 3) == (pytest.approx(value), 0., 3)


def test_a_paired_comparison():
    # Differences 1, 2, 3: mean 2, s = 1, standard error 1/√3, t = 2√3 = 3.4641 with 2 degrees of freedom.
    difference, p = compare_paired([5., 7., 9.], [4., 5., 6.])
    assert difference.mean == 2. and difference.margin == pytest.approx(4.3027 / 3 ** 0.5, abs=1e-4)
    assert p == pytest.approx(0.0742, abs=1e-4)


def test_a_paired_comparison_changes_its_sign_with_the_order():
    first, second = [0.97, 0.979, 0.981], [0.969, 0.971, 0.982]
    there, back = compare_paired(first, second), compare_paired(second, first)
    assert back.difference.mean == pytest.approx(-there.difference.mean)
    assert (back.difference.margin, back.p) == pytest.approx((there.difference.margin, there.p))


def test_one_seed_has_neither_an_interval_nor_a_verdict():
    comparison = compare_paired([0.9], [0.5])
    assert comparison == Comparison(Interval(pytest.approx(0.4), None, 1), None)
    assert verdict(comparison) == 'undecided'


@pytest.mark.parametrize(('first', 'p'), [([1., 2., 3.], 1.), ([2., 3., 4.], 0.)])
def test_equal_differences_are_compared_without_a_t_test(first, p):
    comparison = compare_paired(first, [1., 2., 3.])
    assert (comparison.difference.margin, comparison.p) == (0., p)


@pytest.mark.parametrize(('mean', 'margin', 'expected'), [
    (0.046, 0.008, 'survives'), (-0.002, 0.006, 'fails'), (0.003, 0.006, 'fails'), (0.01, 0.03, 'undecided'),
    (-0.05, 0.01, 'fails'), (0.006, 0.006, 'undecided')])
def test_a_verdict_survives_above_zero_fails_within_a_point_and_is_undecided_otherwise(mean, margin, expected):
    assert verdict(Comparison(Interval(mean, margin, 5), 0.5)) == expected
