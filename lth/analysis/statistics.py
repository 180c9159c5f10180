"""Means over seeds with 95% confidence intervals, and paired comparisons of two networks of each seed."""
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import scipy

# Networks whose accuracies differ by less than one percentage point count as equally good.
_EQUAL = 0.01


class Interval(NamedTuple):
    """A mean over n values; `margin` is half the width of its 95% confidence interval, None for a single value."""

    mean: float
    margin: float | None
    n: int


class Comparison(NamedTuple):
    """The mean difference of two networks of each seed, and the p-value of a two-sided paired t-test, None for a single
    seed.
    """

    difference: Interval
    p: float | None


class Bounds(NamedTuple):
    """One-sided 95% confidence bounds of a mean; None for a single value."""

    lower: float | None
    upper: float | None


Verdict = Literal['survives', 'fails', 'undecided']


def confidence_interval(values: Sequence[float]) -> Interval:
    """Mean of independent values with its 95% confidence interval, by Student's t distribution."""

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, None, 1)
    if len(set(values)) == 1:
        return Interval(mean, 0., count)
    _, bound = scipy.stats.t.interval(0.95, count - 1)
    return Interval(mean, float(bound * scipy.stats.sem(values)), count)


def one_sided_bounds(values: Sequence[float]) -> Bounds:
    """The one-sided 95% confidence bounds of the mean of independent values, by Student's t distribution: the mean is
    above `lower` with 95% confidence, and below `upper` with 95% confidence.
    """

    mean, margin, count = confidence_interval(values)
    if margin is None:
        return Bounds(None, None)
    if margin == 0:
        return Bounds(mean, mean)
    lower, upper = scipy.stats.t.interval(0.90, count - 1, loc=mean, scale=scipy.stats.sem(values))
    return Bounds(float(lower), float(upper))


def compare_paired(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Difference `first` - `second`, paired by seed."""

    difference = confidence_interval([value - other for value, other in zip(first, second, strict=True)])
    if difference.margin is None:
        return Comparison(difference, None)
    if difference.margin == 0:
        return Comparison(difference, 1. if difference.mean == 0 else 0.)
    test = scipy.stats.ttest_rel(first, second)
    low, high = test.confidence_interval(0.95)
    return Comparison(difference._replace(margin=float(high - low) / 2), float(test.pvalue))


def compare_unpaired(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Difference of the means of independent values, `first` - `second`, by Welch's t-test; without an interval if one
    of them has a single value.
    """

    mean, number = confidence_interval(first).mean - confidence_interval(second).mean, min(len(first), len(second))
    if number == 1:
        return Comparison(Interval(mean, None, 1), None)
    if len(set(first)) == 1 and len(set(second)) == 1:
        return Comparison(Interval(mean, 0., number), 1. if mean == 0 else 0.)
    test = scipy.stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return Comparison(Interval(mean, float(high - low) / 2, number), float(test.pvalue))


def is_below(interval: Interval, limit: float) -> bool | None:
    """Whether a mean is below a limit: None, undecided, if its interval contains the limit or there is no interval."""

    mean, margin, _ = interval
    if margin is None or mean - margin < limit <= mean + margin:
        return None
    return mean < limit


def verdict(comparison: Comparison) -> Verdict:
    """`survives` if the ticket is better than its control: the interval is above 0. `fails` if the interval reaches 0
    or below and ends below one point. Otherwise, or with one seed, `undecided`.
    """

    mean, margin, _ = comparison.difference
    if margin is None:
        return 'undecided'
    if mean - margin > 0:
        return 'survives'
    return 'fails' if mean + margin < _EQUAL else 'undecided'
