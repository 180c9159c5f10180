"""Draw a figure with matplotlib. No window is used, so this works without a display; the user's settings of matplotlib
do not matter, and are the same afterwards.
"""
# pylint: disable=wrong-import-order,ungrouped-imports # the import of matplotlib has a guard, which needs LthError
import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from lth.errors import LthError

try:
    import matplotlib
except ValueError as _error:  # it reads the environment when it is imported
    raise LthError(f'matplotlib cannot be imported: {_error}. Set the environment variable MPLBACKEND to one of these '
                   'values, or unset it.') from None
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedFormatter, FixedLocator, FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter, NullLocator)

from lth.analysis.plotting.series import Axis, FigureData, Panel, Reference, Series
from lth.analysis.plotting.styles import Style

# The date and random names would make the files of equal figures differ. Text stays text in SVG and PDF.
_METADATA: dict[str, dict[str, Any]] = {
    'png': {'Software': None}, 'svg': {'Date': None, 'Creator': 'lth'},
    'pdf': {'CreationDate': None, 'Creator': 'lth', 'Producer': 'matplotlib'}}
_SETTINGS: dict[str, Any] = {
    'svg.fonttype': 'none', 'svg.hashsalt': 'lth', 'pdf.fonttype': 42, 'text.parse_math': False,
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.color': '#d9d9d9',
    'grid.linewidth': 0.5, 'axes.axisbelow': True, 'legend.frameon': False, 'axes.unicode_minus': True}
_MARKERS = {'circle': 'o', 'square': 's', 'triangle': '^', 'diamond': 'D', 'cross': 'X', 'plus': 'P', 'none': ''}
_GRAY = '#666666'
_REFERENCE_STYLES = (':', '-.')
_BAND = 0.18
# Inches for caption and legend, which a higher one exceeds, and of one of their lines for each point of the font;
# characters of the caption's font.
_LEGEND_HEIGHT, _LINE_HEIGHT = 0.6, 0.021
_CHARACTERS_PER_INCH = 14
# Of an entry of the legend, in inches: its line with the gaps around it, and a character for each point of the font.
_HANDLE_WIDTH, _CHARACTER_WIDTH = 0.6, 0.0078
# Up to this ratio of the ends of a log axis there is space for ticks at 1, 2 and 5 in each decade, and from the other
# one on there are at least two of them.
_FEW_DECADES = 200
_NARROW = 6


def draw(data: FigureData, style: Style) -> Figure:
    """The figure of matplotlib, which can be changed before it is saved."""

    with _settings(style):
        return _draw(data, style)


def encode(figures: Sequence[FigureData], style: Style, file_type: str) -> bytes:
    """The content of a file: 'png', 'svg' or 'pdf'. A PDF has a page for each figure, the others hold one figure. Equal
    data give equal bytes.
    """

    content = io.BytesIO()
    with _settings(style):
        if file_type == 'pdf':
            with PdfPages(content, metadata=_METADATA['pdf']) as pages:
                for data in figures:
                    _draw(data, style).savefig(pages, format='pdf')
        else:
            (data,) = figures
            _draw(data, style).savefig(
                content, format=file_type, dpi=style.resolution, metadata=_METADATA[file_type])
    return content.getvalue()


@contextmanager
def _settings(style: Style) -> Iterator[None]:
    """Matplotlib's own settings with those of the style, whatever the user's configuration says."""

    own = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith('backend')}
    # matplotlib has a type for the names of its settings since version 3.11.
    settings: Any = {**own, **_SETTINGS, **style.settings}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name may have characters that the font lacks, which are then drawn as boxes.
        warnings.filterwarnings('ignore', r'Glyph \d+')
        yield


def _draw(data: FigureData, style: Style) -> Figure:
    rows = math.ceil(len(data.panels) / style.columns)
    columns = math.ceil(len(data.panels) / rows)
    size = style.panel_width * columns, style.panel_height * rows + _LEGEND_HEIGHT
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(data.panels):]:
        axes.remove()
    for axes, panel in zip(grid, data.panels, strict=False):
        _draw_panel(axes, panel)
    if columns == 1:
        _merge_x_labels(grid, data.panels)
    _draw_legend(figure, style, _caption(data, size[0]) if style.with_text else '')
    if style.with_text:
        figure.suptitle(data.title)
    return figure


def _caption(data: FigureData, width: float) -> str:
    """Caption and notes in lines that fit into so many inches."""

    paragraphs = filter(None, [data.caption, *data.notes])
    lines = [textwrap.wrap(paragraph, int(width * _CHARACTERS_PER_INCH)) for paragraph in paragraphs]
    return '\n'.join(itertools.chain.from_iterable(lines))


def _merge_x_labels(grid: Sequence[Axes], panels: Sequence[Panel]) -> None:
    """Of panels below each other with equal x axes, label the lowest one only."""

    for axes, (panel, below) in zip(grid, itertools.pairwise(panels), strict=False):
        if panel.x == below.x:
            axes.set_xlabel('')


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for series in panel.series:
        _DRAWINGS[series.kind](axes, series)
    for reference, style in zip(panel.references, itertools.cycle(_REFERENCE_STYLES), strict=False):
        _draw_reference(axes, reference, style)
    _set_axis(axes, 'x', panel.x)
    _set_axis(axes, 'y', panel.y)
    axes.set_title(panel.title)


def _draw_line(axes: Axes, series: Series) -> None:
    """A line with its band; error bars if there are at most two points, between which a band says little."""

    _plot(axes, series, '--' if series.dashed else '-')
    if len(series.points) <= 2:
        _draw_error_bars(axes, series)
        return
    band = [(point.x, point.low, point.high) for point in series.points if point.low is not None]
    if band:
        x, low, high = np.array(band, dtype=float).T
        axes.fill_between(x, low, high, color=series.color, alpha=_BAND, linewidth=0)


def _draw_points(axes: Axes, series: Series) -> None:
    _plot(axes, series, '')
    _draw_error_bars(axes, series)


def _plot(axes: Axes, series: Series, line_style: str) -> None:
    """The points with their markers, and a line of this style."""

    axes.plot([point.x for point in series.points], [point.y for point in series.points], color=series.color,
              label=_legend_text(series.label), marker=_MARKERS[series.marker], linestyle=line_style)


def _draw_error_bars(axes: Axes, series: Series) -> None:
    for point in series.points:
        if point.low is not None and point.high is not None:
            across = [point.low, point.high]
            x, y = (across, [point.y] * 2) if series.intervals == 'x' else ([point.x] * 2, across)
            axes.plot(x, y, color=series.color, marker='')


def _draw_steps(axes: Axes, series: Series) -> None:
    x, y = [point.x for point in series.points], [point.y for point in series.points]
    axes.step(x, y, where='post', color=series.color, label=_legend_text(series.label),
              linestyle='--' if series.dashed else '-')
    axes.fill_between(x, y, step='post', color=series.color, alpha=_BAND, linewidth=0)


_DRAWINGS = {'line': _draw_line, 'points': _draw_points, 'steps': _draw_steps}


def _draw_reference(axes: Axes, reference: Reference, style: str) -> None:
    line = axes.axhline if reference.axis == 'y' else axes.axvline
    line(reference.value, color=_GRAY, linestyle=style, linewidth=1, label=_legend_text(reference.label), zorder=1)


def _set_axis(axes: Axes, direction: str, axis: Axis) -> None:
    """Apply an axis of the data to the axis of matplotlib in this direction."""

    axes.set(**{f'{direction}label': axis.label, f'{direction}scale': axis.scale})
    drawn = getattr(axes, f'{direction}axis')
    if axis.ticks:
        drawn.set_major_locator(FixedLocator([tick.position for tick in axis.ticks]))
        drawn.set_major_formatter(FixedFormatter([tick.label for tick in axis.ticks]))
        drawn.set_minor_locator(NullLocator())
        drawn.set_minor_formatter(NullFormatter())
    elif axis.scale == 'log':
        drawn.set_major_locator(_log_locator(*sorted(drawn.get_view_interval())))
        drawn.set_major_formatter(FuncFormatter(lambda value, _: _short_number(value)))
        drawn.set_minor_locator(NullLocator())
    if axis.limits:
        axes.set(**{f'{direction}lim': axis.limits})
    if axis.bounds:
        axes.set(**{f'{direction}lim': np.clip(drawn.get_view_interval(), *axis.bounds)})
    if axis.padded:
        positions = [tick.position for tick in axis.ticks]
        axes.set(**{f'{direction}lim': (min(positions) - 0.5, max(positions) + 0.5)})
    drawn.set_inverted(axis.reverse)


def _log_locator(least: float, largest: float) -> Locator:
    """Where a log axis has labels: at 1, 2 and 5 times powers of ten, or at powers of ten if there are many. Between
    two numbers that differ little there may be none of them, so labels are there as on a linear axis.
    """

    if largest < _NARROW * least:
        return MaxNLocator(5, steps=[1, 2, 5, 10])
    return LogLocator(subs=(1, 2, 5) if largest < _FEW_DECADES * least else (1,))


def _short_number(value: float) -> str:
    """A number for a tick: 0.5, 20, 5k, 2M."""

    for unit, factor in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if value >= factor:
            return f'{value / factor:.3g}{unit}'
    return f'{value:.3g}'


def _draw_legend(figure: Figure, style: Style, caption: str) -> None:
    """The caption and one legend below all panels. The legend has each label once, and is left out if there is one."""

    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    entries = entries if len(entries) > 1 else {}
    if entries or caption:
        longest = max(map(len, entries), default=0)
        width = max(style.legend_width, _HANDLE_WIDTH + longest * _CHARACTER_WIDTH * style.settings['legend.fontsize'])
        columns = min(max(1, len(entries)), max(1, int(figure.get_figwidth() / width)))
        lines = math.ceil(len(entries) / columns) + len(caption.splitlines())
        height = lines * _LINE_HEIGHT * style.settings['legend.fontsize']
        figure.set_figheight(figure.get_figheight() + max(0., height - _LEGEND_HEIGHT))
        legend = figure.legend(entries.values(), entries.keys(), loc='outside lower center', ncols=columns,
                               title=caption, title_fontsize='small')
        legend.get_title().set(color=_GRAY, multialignment='center')


def _legend_text(label: str) -> str:
    """A label as matplotlib shows it: it leaves out those that start with an underscore."""

    return f' {label}' if label.startswith('_') else label
