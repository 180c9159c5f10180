"""How sure a number is: means over seeds with their 95% confidence intervals, and paired comparisons (scipy)."""
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

# Networks that differ by less than a point count as equally good.
_EQUAL = 0.01


class Interval(NamedTuple):
    """A mean over n values; `margin` is half its 95% confidence interval, None if one value allows none."""

    mean: float
    margin: float | None
    n: int


class Comparison(NamedTuple):
    """Seed by seed, how much larger one is than the other: the mean difference with its interval, and the p-value of a
    two-sided paired t-test that there is none; None if one seed allows none.
    """

    difference: Interval
    p: float | None


Verdict = Literal['survives', 'fails', 'undecided']


def confidence_interval(values: Sequence[float]) -> Interval:
    """The mean of independent values and its 95% confidence interval under a normal model."""

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, None, 1)
    from scipy import stats  # pylint: disable=import-outside-toplevel # 0.7 s that a single seed does without
    return Interval(mean, float(stats.t.ppf(0.975, count - 1)) * _standard_error(values), count)


def compare_paired(ones: Sequence[float], others: Sequence[float]) -> Comparison:
    """Two networks of each seed, the ones against the others."""

    differences = [one - other for one, other in zip(ones, others, strict=True)]
    difference = confidence_interval(differences)
    if difference.n == 1:
        return Comparison(difference, None)
    from scipy import stats  # pylint: disable=import-outside-toplevel # as above
    error = _standard_error(differences)
    if error == 0:
        return Comparison(difference, 1. if difference.mean == 0 else 0.)
    return Comparison(difference, float(2 * stats.t.sf(abs(difference.mean) / error, difference.n - 1)))


def verdict(comparison: Comparison) -> Verdict:
    """Whether a ticket survives a check: if it is better than its control by an interval above 0. It fails if the
    interval begins at 0 or less and ends below one point; else, or with one seed, the question is open.
    """

    mean, margin, _ = comparison.difference
    if margin is None:
        return 'undecided'
    if mean - margin > 0:
        return 'survives'
    return 'fails' if mean + margin < _EQUAL else 'undecided'


def _standard_error(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
