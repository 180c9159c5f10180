"""Figures for plotly: each panel of a FigureData as traces and a layout, in the form that Plotly.react takes.

Colors depend on whether the page is dark, so a trace has its color in `meta`, and page.js puts it into lines, markers,
bands and error bars. Labels are escaped, as plotly reads some tags in them.
"""
import html
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from lth.analysis.plotting.series import Axis, FigureData, Panel, Point, Reference, Series

Json = dict[str, Any]
MARKERS = {'circle': 'circle', 'square': 'square', 'triangle': 'triangle-up', 'diamond': 'diamond', 'cross': 'x',
           'plus': 'cross'}
_SIGNIFICANT = '%{{{}:.4~g}}'
# In more of them, a log axis has labels at powers of ten only.
_FEW_DECADES = 4
_REFERENCE_DASHES = ('dot', 'dashdot')


def plotly_panels(figure: FigureData) -> list[Json]:
    """The panels of a figure."""

    return [{'traces': list(_traces(panel)), 'layout': _layout(panel)} for panel in figure.panels]


def _traces(panel: Panel) -> Iterator[Json]:
    for series in panel.series:
        band = [point for point in series.points if point.low is not None]
        if series.kind == 'line' and len(series.points) > 1 and band:
            yield _band(series, band)
        yield _trace(series, panel)


def _band(series: Series, points: list[Point]) -> Json:
    """The area between the ends of the intervals, as a polygon."""

    x = [point.x for point in points]
    ends = [[point.low for point in points], [point.high for point in points]]
    return {**_common(series), 'x': [*x, *reversed(x)], 'y': [*ends[0], *reversed(ends[1])], 'mode': 'lines',
            'line': {'width': 0}, 'fill': 'toself', 'hoverinfo': 'skip'}


def _trace(series: Series, panel: Panel) -> Json:
    points = series.points
    trace = {
        **_common(series), 'x': [point.x for point in points], 'y': [point.y for point in points],
        'mode': _mode(series), 'line': {'width': 2, 'dash': 'dash' if series.dashed else 'solid'},
        'marker': {'symbol': MARKERS.get(series.marker, 'circle'), 'size': 7},
        'customdata': [[point.low, point.high, point.n] for point in points],
        'hovertemplate': [_hover_text(point, panel) for point in points]}
    if series.kind == 'steps':
        trace |= {'fill': 'tozeroy', 'line': {**trace['line'], 'shape': 'hv'}}
    if series.kind == 'points' or (series.kind == 'line' and len(points) == 1):
        trace[f'error_{series.intervals}'] = _error_bars(series)
    return trace


def _common(series: Series) -> Json:
    return {'type': 'scatter', 'name': _escape(series.label), 'meta': {'color': series.color, 'label': series.label}}


def _mode(series: Series) -> str:
    if series.kind == 'points':
        return 'markers'
    return 'lines' if series.kind == 'steps' or series.marker == 'none' else 'lines+markers'


def _error_bars(series: Series) -> Json:
    """The distances from each value to the ends of its interval; 0 without an interval."""

    values = [getattr(point, series.intervals) for point in series.points]
    pairs = list(zip(series.points, values, strict=True))
    above = [0 if point.high is None else point.high - value for point, value in pairs]
    below = [0 if point.low is None else value - point.low for point, value in pairs]
    return {'type': 'data', 'symmetric': False, 'array': above, 'arrayminus': below, 'width': 3, 'thickness': 1.5}


def _hover_text(point: Point, panel: Panel) -> str:
    """What is shown next to a point: its values, its interval, and over how many values it is the mean."""

    lines = [_named_value('y', panel.y)]
    if point.low is not None:
        low, high = (_SIGNIFICANT.format(f'customdata[{position}]') for position in (0, 1))
        lines.append(f'95% interval {low} to {high}, n = %{{customdata[2]}}')
    lines.append(_named_value('x', panel.x))
    return '<br>'.join(lines) + '<extra>%{fullData.name}</extra>'


def _named_value(coordinate: str, axis: Axis) -> str:
    """A coordinate with the label of its axis; on an axis with names as ticks the name of the place."""

    value = f'%{{{coordinate}}}' if axis.padded else _SIGNIFICANT.format(coordinate)
    return f'{_escape(axis.label)}: {value}' if axis.label else value


def _layout(panel: Panel) -> Json:
    points = [point for series in panel.series for point in series.points]
    x, y = (_axis(axis, values) for axis, values in (
        (panel.x, [point.x for point in points]), (panel.y, [point.y for point in points])))
    return {'xaxis': x, 'yaxis': y, 'shapes': list(map(_line, panel.references, itertools.cycle(_REFERENCE_DASHES))),
            'showlegend': False, 'hovermode': 'closest', 'margin': {'l': 44, 'r': 10, 't': 26, 'b': 32}}


def _axis(axis: Axis, values: Sequence[float]) -> Json:
    return {'type': axis.scale, 'automargin': True, 'zeroline': False, **_range(axis), **_ticks(axis, values)}


def _range(axis: Axis) -> Json:
    limits = axis.limits
    if axis.padded:
        positions = [tick.position for tick in axis.ticks]
        limits = min(positions) - 0.5, max(positions) + 0.5
    if limits is None:
        clip = {'autorangeoptions': dict(zip(('clipmin', 'clipmax'), axis.bounds, strict=True))} if axis.bounds else {}
        return {'autorange': 'reversed' if axis.reverse else True, **clip}
    ends = [math.log10(limit) for limit in limits] if axis.scale == 'log' else list(limits)
    return {'range': ends[::-1] if axis.reverse else ends}


def _ticks(axis: Axis, values: Sequence[float]) -> Json:
    """The labels of the axis. Without them plotly chooses, but on a log axis it would write 5 for 50."""

    if axis.ticks:
        return {'tickmode': 'array', 'tickvals': [tick.position for tick in axis.ticks],
                'ticktext': [_escape(tick.label) for tick in axis.ticks]}
    if axis.scale == 'linear' or not values:
        return {}
    positions = _log_positions(min(values), max(values))
    number_format = '~s' if max(values) >= 10_000 else '~g'
    return {'tickmode': 'array', 'tickvals': positions, 'tickformat': number_format} if len(positions) > 1 else {}


def _log_positions(least: float, largest: float) -> list[float]:
    """1, 2, 3 and 5 times powers of ten between these values, or only powers of ten if there are many."""

    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(largest)) + 1)
    steps = (1, 2, 3, 5) if len(decades) <= _FEW_DECADES else (1,)
    positions = [step * 10.0 ** decade for decade in decades for step in steps]
    return [position for position in positions if least <= position <= largest]


def _line(reference: Reference, dash: str) -> Json:
    """A thin line through the whole panel."""

    across = 'x' if reference.axis == 'y' else 'y'
    return {'type': 'line', f'{across}ref': 'paper', f'{across}0': 0, f'{across}1': 1, f'{reference.axis}ref':
            reference.axis, f'{reference.axis}0': reference.value, f'{reference.axis}1': reference.value,
            'layer': 'below', 'line': {'width': 1.5, 'dash': dash}}


def _escape(text: str) -> str:
    """Text that plotly shows as it is: its tags, entities and placeholders are taken literally."""

    return html.escape(text, quote=False).replace('%{', '%&#8203;{')
