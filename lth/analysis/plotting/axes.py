"""Axes and points that several figures have in common: percentages, and the weights that remain on a log axis."""
import math
from collections.abc import Callable, Iterable, Sequence

from lth.analysis.plotting.runs import PlottedRun
from lth.analysis.plotting.series import Axis, Point, Tick
from lth.analysis.statistics import Interval
from lth.analysis.summary_table import RoundSummary

# Between labels: with 20 prunings of 20% the labels are the levels 100, 41.1, 16.9, 7.0, 2.9 and 1.2 of the papers.
_MOST_STEPS = 6


def density_axis(runs: Sequence[PlottedRun]) -> Axis:
    """The share of weights that remain in percent, falling. The labels are levels of the run with the most rounds."""

    longest = max(runs, key=lambda run: len(run.rows))
    levels = sorted({100 * row.density for row in longest.rows if row.density}, reverse=True)
    step = math.ceil(max(len(levels) - 1, 1) / _MOST_STEPS)
    ticks = tuple(Tick(level, percent_label(level)) for level in levels[::step])
    return Axis(label='weights remaining (%)', scale='log', reverse=True, ticks=ticks)


def percent_label(percentage: float) -> str:
    """A percentage as papers print it: 100, 41.1, 0.59."""

    if percentage >= 99.95:
        return f'{percentage:.0f}'
    return f'{percentage:.1f}' if percentage >= 1 else f'{percentage:.2g}'


def mean_point(x: float, interval: Interval, *, factor: float = 1) -> Point:
    """A mean with its interval; `factor` is 100 for shares."""

    mean, margin, count = interval
    if margin is None:
        return Point(x, factor * mean, n=count)
    return Point(x, factor * mean, factor * (mean - margin), factor * (mean + margin), count)


def density_points(
        rows: Iterable[RoundSummary], value: Callable[[RoundSummary], Interval], *, factor: float = 1,
) -> tuple[Point, ...]:
    """A value in each round against the weights that remain in percent. A log axis has no place for none."""

    return tuple(mean_point(100 * row.density, value(row), factor=factor) for row in rows if row.density)


def interval_caption(points: Iterable[Point]) -> str:
    """What the intervals of these points are, in words."""

    counts = sorted({point.n for point in points if point.low is not None})
    if not counts:
        return 'one seed: no intervals'
    number = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'
    return f'mean and 95% confidence interval over {number} seeds'
