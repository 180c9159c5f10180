"""The content of a figure as data: panels with axes and series of points, without a library that draws.

All figures are made of these classes, so one function draws all of them (drawing.py, with matplotlib), and another
library can draw the same series:

    for panel in figure.panels:                     # side by side, or one below the other
        for series in panel.series:                 # the legend has each label once in a figure
            x, y = [point.x for point in series.points], [point.y for point in series.points]
            if series.kind == 'line':               # a line; a band from low to high, where they are not None
            elif series.kind == 'points':           # markers without a line; error bars from low to high
            elif series.kind == 'steps':            # a histogram: y holds from its x to the x of the next point
        for reference in panel.references:          # a thin line through the whole panel, with a label

All values are in the units of the axes' labels, so accuracies are percentages. If `series.intervals` is 'x', `low`
and `high` are x coordinates. A log axis has positive values only. An axis with `ticks` shows exactly these. Labels are
plain text: no markup, no mathematics, no control characters. Colors are '#rrggbb', and can be read on white and on
black.
"""
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal['line', 'points', 'steps']
Marker = Literal['circle', 'square', 'triangle', 'diamond', 'cross', 'plus', 'none']
Direction = Literal['x', 'y']


class Tick(NamedTuple):
    """A labeled position on an axis."""

    position: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis; a reversed one falls from left to right. Without `ticks` the library that draws chooses them. Ticks that
    name things and not values are `padded`: there is half a step before the first and after the last. `limits` is the
    range that is shown, None for all. `bounds` are the ends of the widest range that is shown: intervals may reach
    beyond what a quantity can be.
    """

    label: str
    scale: Literal['linear', 'log'] = 'linear'
    reverse: bool = False
    padded: bool = False
    ticks: tuple[Tick, ...] = ()
    limits: tuple[float, float] | None = None
    bounds: tuple[float, float] | None = None


class Point(NamedTuple):
    """A mean over n values, with the ends of its 95% confidence interval, None if it has none. Values that are no
    means have n = 1.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    n: int = 1


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points with one label. `intervals` names the axis along which their intervals lie. Controls are dashed. A series
    without a label is not in the legend.
    """

    label: str
    points: tuple[Point, ...]
    color: str
    kind: Kind = 'line'
    dashed: bool = False
    marker: Marker = 'circle'
    intervals: Direction = 'y'


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A value to compare with, such as chance: a thin line across the panel. `axis` is the axis of the value."""

    label: str
    value: float
    axis: Direction = 'y'


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Series with common axes."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    title: str = ''


@dataclass(frozen=True, kw_only=True)
class FigureData:
    """A figure. `name` is its name in FIGURES, `title` what it is of, `caption` what its intervals and abbreviations
    are; `notes` are sentences on what is missing, such as rounds of an unfinished run.
    """

    name: str
    title: str
    panels: tuple[Panel, ...]
    caption: str = ''
    notes: tuple[str, ...] = ()


class NoData(NamedTuple):
    """Why a figure cannot be drawn of these runs: a sentence without its period, such as 'runs/a has one seed'."""

    reason: str
