"""Accuracy and early stop against the weights that remain, as in figures 1 and 3 to 8 of Frankle & Carbin 2019."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, density_points, interval_caption
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Reference, Series
from lth.analysis.statistics import Interval
from lth.analysis.summary_table import RoundSummary


class _Quantity(NamedTuple):
    """What a panel shows of each round."""

    label: str
    value: Callable[[RoundSummary], Interval]
    factor: float


class _Curve(NamedTuple):
    """The rounds of a run or of one of its controls; curves of one number have one color."""

    label: str
    rows: Sequence[RoundSummary]
    color: int
    marker: int
    is_control: bool


_QUANTITIES = (
    _Quantity('test accuracy at the end of training (%)', lambda row: row.test_accuracy, 100),
    _Quantity('early-stop iteration', lambda row: row.early_stop, 1),
    _Quantity('test accuracy at early stop (%)', lambda row: row.early_stop_accuracy, 100))


@FIGURES.register('accuracy')
def accuracy(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy, early-stop iteration and the accuracy there against the weights that remain, with the controls."""

    runs = [run for run in request.runs if run.settings.trains == 'each']
    if not runs:
        return NoData('its rounds are not trained: see the figure gems')
    curves = _curves(runs)
    panels = tuple(_panel(quantity, curves, runs) for quantity in _QUANTITIES)
    points = [point for panel in panels for series in panel.series for point in series.points]
    return FigureData(
        name='accuracy', title=pair_title(runs), panels=panels, notes=all_notes(runs),
        caption=f'{interval_caption(points)}; early stop: iteration with the lowest validation loss')


def _curves(runs: Sequence[PlottedRun]) -> list[_Curve]:
    """A curve for each run, and for each of its controls. With one run they differ in color, with several runs those of
    a run have the same color.
    """

    curves = []
    for number, run in enumerate(runs):
        several = len(runs) > 1
        curves.append(_Curve(run.label if several else 'ticket', run.rows, number, 0, is_control=False))
        for position, (name, rows) in enumerate(run.control_rows.items(), 1):
            label = f'{run.label}, {name}' if several else name
            curves.append(_Curve(label, rows, number if several else position, position, is_control=True))
    return curves


def _panel(quantity: _Quantity, curves: Sequence[_Curve], runs: Sequence[PlottedRun]) -> Panel:
    series = tuple(Series(
        label=curve.label, color=palette.color(curve.color), marker=palette.marker(curve.marker),
        dashed=curve.is_control, points=density_points(curve.rows, quantity.value, factor=quantity.factor))
        for curve in curves if curve.rows)
    return Panel(x=density_axis(runs), y=Axis(label=quantity.label), series=series, references=_dense(quantity, runs))


def _dense(quantity: _Quantity, runs: Sequence[PlottedRun]) -> tuple[Reference, ...]:
    """The dense network of a single run, as a line to compare with."""

    first = runs[0].rows[0]
    if len(runs) > 1 or first.density < 1:
        return ()
    return (Reference(label='dense network', value=quantity.factor * quantity.value(first).mean),)
