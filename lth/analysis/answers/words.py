"""Numbers in the sentences of answers."""
from lth.analysis.number_text import signed, with_margin
from lth.analysis.statistics import Comparison, Interval

# Smaller ones say no more, and are those of differences that are equal in all seeds.
_LEAST_P = 0.001


def percent(interval: Interval) -> str:
    """A mean of shares in percent, with its interval."""

    return f'{with_margin(interval, scale=100)}%'


def points(difference: Interval) -> str:
    """A mean difference of shares in percentage points, with its sign and its interval."""

    return f'{with_margin(difference, scale=100, plus=True)} points'


def bound(value: float) -> str:
    """A bound of a difference of shares, in percentage points with its sign."""

    return f'{signed(100 * value, plus=True)} points'


def amount(comparison: Comparison) -> str:
    """The size of a difference in percentage points, with its interval and the number of seeds."""

    size = comparison.difference._replace(mean=abs(comparison.difference.mean))
    return f'{with_margin(size, scale=100)} points, n = {size.n}'


def compared(comparison: Comparison, other: str) -> str:
    """How a network compares with another one: better, worse or as accurate, with the size of the difference."""

    mean, size = comparison.difference.mean, amount(comparison)
    return larger_or_equal(
        mean, size, f'better than {other} by {size}', f'worse than {other} by {size}', f'as accurate as {other}')


def larger_or_equal(mean: float, size: str, more: str, less: str, equal: str) -> str:
    """`more` or `less` by the sign of a mean difference, or `equal`, with the size, where the size is rounded to 0."""

    if float(size.split()[0]) == 0:
        return f'{equal}, with a difference of {size}'
    return more if mean > 0 else less


def p_value(p: float) -> str:
    """A p-value, such as p = 0.03."""

    return f'p = {p:.2g}' if p >= _LEAST_P else f'p < {_LEAST_P}'


def density(share: float) -> str:
    """A density in percent."""

    return f'{100 * share:.2f}%'


def plural(count: int, word: str) -> str:
    """A count with its noun."""

    return f'{count} {word}{"s" * (count != 1)}'
