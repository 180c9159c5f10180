"""How sure a number is: means over seeds with their 95% confidence intervals (Student's t, from scipy)."""
import math
from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """A mean over n values; `margin` is half its 95% confidence interval, None if one value allows none."""

    mean: float
    margin: float | None
    n: int


def interval(values: Sequence[float]) -> Interval:
    """The mean of independent values and its 95% confidence interval under a normal model."""

    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, None, 1)
    from scipy import stats  # pylint: disable=import-outside-toplevel # 0.7 s that a single seed does without
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return Interval(mean, float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count), count)
