"""Axes and points that several figures have in common: percentages, and the weights that remain on a log axis."""
import math
from collections.abc import Callable, Iterable, Sequence

from lth.analysis.plotting.runs import PlottedRun
from lth.analysis.plotting.series import Axis, Panel, Point, Tick
from lth.analysis.statistics import Interval
from lth.analysis.summary_table import RoundSummary
from lth.errors import LthError

# Between labels: with 20 prunings of 20% the labels are the levels 100, 41.1, 16.9, 7.0, 2.9 and 1.2 of the papers.
_MOST_STEPS = 6
_LEVELS = (1, 0.513, 0.211, 0.07, 0.036, 0.019)
# More curves are hard to tell apart by their colors.
_FEW_ROUNDS = 9
# A mask may be empty.
_LEAST = 1e-9


def percent_axis(label: str, limits: tuple[float, float] | None = None) -> Axis:
    """A linear axis of shares in percent: 0 to 100 with a margin for markers, although intervals of few seeds reach far
    beyond.
    """

    return Axis(label=label, limits=limits, bounds=(-2, 102))


def density_axis(runs: Sequence[PlottedRun]) -> Axis:
    """The share of weights that remain in percent, falling. The labels are levels of the run with the most rounds, of
    several the one that keeps the fewest weights.
    """

    longest = max(runs, key=lambda run: (len(run.rows), -run.rows[-1].density))
    return level_axis([row.density for row in longest.rows])


def level_axis(densities: Iterable[float]) -> Axis:
    """The share of weights that remain in percent, falling, with labels for some of these densities."""

    levels = sorted({100 * density for density in densities if density}, reverse=True)
    step = math.ceil(max(len(levels) - 1, 1) / _MOST_STEPS)
    ticks = tuple(Tick(level, percent_label(level)) for level in levels[::step])
    return Axis(label='weights remaining (%)', scale='log', reverse=True, ticks=ticks)


def shown_rounds(run: PlottedRun, rounds: Sequence[int] | None) -> list[RoundSummary]:
    """The requested rounds of a run. By default all if there are at most nine, otherwise those nearest to the levels
    of figure 3 of Frankle & Carbin 2019, and the last. LthError if the run lacks one that is requested.
    """

    by_number = {row.source_number: row for row in run.rows}
    if rounds is None:
        return list(run.rows) if len(run.rows) <= _FEW_ROUNDS else _rounds_at_levels(run.rows)
    if missing := [number for number in rounds if number not in by_number]:
        raise LthError(f'--rounds: {run.run.folder} has no round {missing[0]} yet; its rounds are '
                       f'{", ".join(map(str, by_number))}.')
    return [by_number[number] for number in rounds]


def _rounds_at_levels(rows: Sequence[RoundSummary]) -> list[RoundSummary]:
    """The first and the last round, and between them the nearest to each of the levels."""

    shown = {0, len(rows) - 1}
    for level in _LEVELS:
        if level >= rows[-1].density:
            distances = [abs(math.log(max(row.density, _LEAST) / level)) for row in rows]
            shown.add(distances.index(min(distances)))
    return [rows[index] for index in sorted(shown)]


def level_label(row: RoundSummary) -> str:
    """A round by its density, for legends: 'round 7, 21.1%'."""

    return f'round {row.source_number}, {percent_label(100 * row.density)}%'


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


def positive_points(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that a log axis has a place for; intervals that reach 0 end at a tenth of the mean."""

    shown = [point for point in points if point.y > 0]
    return tuple(point if point.low is None else point._replace(low=max(point.low, point.y / 10)) for point in shown)


def interval_caption(panels: Iterable[Panel], *, over: str = 'seeds') -> str:
    """What the intervals of the points in these panels are, in words."""

    points = [point for panel in panels for series in panel.series for point in series.points]
    counts = sorted({point.n for point in points if point.low is not None})
    if not counts:
        return 'one seed: no intervals' if over == 'seeds' else 'single values: no intervals'
    number = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'
    return f'mean and 95% confidence interval over {number} {over}'
