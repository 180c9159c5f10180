"""How many weights each layer keeps: in each round, and from the first layer to the last."""
from collections.abc import Sequence

from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import (
    density_axis, interval_caption, level_label, mean_point, positive_points, shown_rounds)
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title, printable
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Series, Tick
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.statistics import confidence_interval
from lth.analysis.summary_table import RoundSummary

_LAYER_AXIS = 'weights remaining in the layer (%)'
# Tick labels that fit below a panel.
_MOST_TICKS = 12


@FIGURES.register('layers')
def layers(request: FigureRequest) -> FigureData | NoData:
    """Share of the weights that each layer keeps: in all rounds, and from first to last layer in some rounds."""

    shown = [one for one in shaded_runs(request.runs) if one.run.first_record.layers]
    runs = [one.run for one in shown]
    if not runs:
        return NoData('an earlier version of lth saved its rounds, which did not record layers')
    panels = []
    for shaded in shown:
        if len(shaded.run.rows) > 1:
            panels.append(_by_round(shaded))
        panels.append(_by_layer(shaded, shown_rounds(shaded.run, request.rounds)))
    return FigureData(name='layers', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
                      caption=interval_caption(panels))


def _by_round(shaded: ShadedRun) -> Panel:
    """A curve for each layer, against all weights that remain."""

    run, colors = shaded.run, shaded.colors(len(shaded.run.first_record.layers))
    series = tuple(Series(
        label=shaded.label(f'{index + 1} {printable(layer.name.removesuffix(".weight"))}'), color=colors[index],
        marker=palette.MARKERS[index % len(palette.MARKERS)],
        points=positive_points(_point(run, row, index, 100 * row.density) for row in run.rows))
        for index, layer in enumerate(run.first_record.layers))
    return Panel(x=density_axis([run]), y=Axis(label=_LAYER_AXIS, scale='log'), series=series, title=shaded.title)


def _by_layer(shaded: ShadedRun, rows: Sequence[RoundSummary]) -> Panel:
    """A curve for each round, from the first to the last layer."""

    run, count = shaded.run, len(shaded.run.first_record.layers)
    series = tuple(Series(
        label=shaded.label(level_label(row)), color=color,
        points=positive_points(_point(run, row, index, index + 1) for index in range(count)))
        for row, color in zip(rows, shaded.colors(len(rows)), strict=True))
    numbers = range(1, count + 1, -(-count // _MOST_TICKS))
    ticks = tuple(Tick(number, str(number)) for number in numbers)
    axis = Axis(label='layer, from input to output', ticks=ticks)
    return Panel(x=axis, y=Axis(label=_LAYER_AXIS, scale='log'), series=series, title=shaded.title)


def _point(run: PlottedRun, row: RoundSummary, index: int, x: float) -> Point:
    """The share that a layer keeps, as a mean over the seeds that have the round."""

    records = [run.run.record(result.seed, row.number).layers[index] for result in row.results]
    return mean_point(x, confidence_interval([layer.kept / layer.weights for layer in records]), factor=100)
