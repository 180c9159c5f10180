"""Numbers in the sentences of answers."""
from lth.analysis.statistics import Comparison, Interval

# Smaller ones say no more, and are those of differences that are equal in all seeds.
_LEAST_P = 0.001


def percent(interval: Interval) -> str:
    """A mean of shares in percent, with its interval."""

    margin = '' if interval.margin is None else f' ± {100 * interval.margin:.2f}'
    return f'{100 * interval.mean:.2f}{margin}%'


def points(difference: Interval) -> str:
    """A mean difference of shares in percentage points, with its sign and its interval."""

    margin = '' if difference.margin is None else f' ± {100 * difference.margin:.2f}'
    return f'{_signed(100 * difference.mean)}{margin} points'


def bound(value: float) -> str:
    """A bound of a difference of shares, in percentage points with its sign."""

    return f'{_signed(100 * value)} points'


def amount(comparison: Comparison) -> str:
    """The size of a difference in percentage points, with its interval and the number of seeds."""

    mean, margin, count = comparison.difference
    interval = '' if margin is None else f' ± {100 * margin:.2f}'
    return f'{100 * abs(mean):.2f}{interval} points, n = {count}'


def compared(comparison: Comparison, other: str) -> str:
    """How a network compares with another one: better, worse or as accurate, with the size of the difference."""

    size = amount(comparison)
    if size.startswith('0.00'):
        return f'as accurate as {other}, with a difference of {size}'
    return f'{"better" if comparison.difference.mean > 0 else "worse"} than {other} by {size}'


def p_value(p: float) -> str:
    """A p-value, such as p = 0.03."""

    return f'p = {p:.2g}' if p >= _LEAST_P else f'p < {_LEAST_P}'


def density(share: float) -> str:
    """A density in percent."""

    return f'{100 * share:.2f}%'


def plural(count: int, word: str) -> str:
    """A count with its noun."""

    return f'{count} {word}{"s" * (count != 1)}'


def _signed(value: float) -> str:
    return f'{value:+.2f}'.replace('-', '−')
