"""Accuracy and early stop against the weights that remain, as in figures 1 and 3 to 8 of Frankle & Carbin 2019."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lth.analysis.plotting.axes import density_axis, density_points, interval_caption, percent_axis
from lth.analysis.plotting.curves import Curve, all_series, run_curves
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Reference
from lth.analysis.statistics import Interval
from lth.analysis.summary_table import RoundSummary


class _Quantity(NamedTuple):
    """What a panel shows of each round."""

    label: str
    value: Callable[[RoundSummary], Interval]
    factor: float


_QUANTITIES = (
    _Quantity('test accuracy at the end of training (%)', lambda row: row.test_accuracy, 100),
    _Quantity('early-stop iteration', lambda row: row.early_stop, 1),
    _Quantity('test accuracy at early stop (%)', lambda row: row.early_stop_accuracy, 100))


@FIGURES.register('accuracy')
def accuracy(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy, early-stop iteration and the accuracy there against the weights that remain, with the controls."""

    runs = [run for run in request.runs if run.settings.trains == 'each']
    if not runs:
        return NoData(f'its rounds are not trained one by one, see the figure {_other_figure(request.runs)}')
    panels = tuple(_panel(quantity, run_curves(runs), runs) for quantity in _QUANTITIES)
    return FigureData(
        name='accuracy', title=pair_title(runs), panels=panels, notes=(*all_notes(runs), *_batch_note(runs)),
        caption=f'{interval_caption(panels)}; early stop: iteration with the lowest validation loss')


def _other_figure(runs: Sequence[PlottedRun]) -> str:
    """The figure that has the accuracies of these runs."""

    return 'gems' if any(run.settings.finds == 'gems' for run in runs) else 'learning-curves'


def _panel(quantity: _Quantity, curves: Sequence[Curve], runs: Sequence[PlottedRun]) -> Panel:
    series = all_series(curves, lambda rows: density_points(rows, quantity.value, factor=quantity.factor))
    return Panel(x=density_axis(runs), y=_axis(quantity), series=series, references=_dense(quantity, runs))


def _axis(quantity: _Quantity) -> Axis:
    return percent_axis(quantity.label) if quantity.factor == 100 else Axis(label=quantity.label)


def _dense(quantity: _Quantity, runs: Sequence[PlottedRun]) -> tuple[Reference, ...]:
    """The dense network of a single run, as a line to compare with."""

    first = runs[0].rows[0]
    if len(runs) > 1 or first.density < 1:
        return ()
    return (Reference(label='dense network', value=quantity.factor * quantity.value(first).mean),)


def _batch_note(runs: Sequence[PlottedRun]) -> list[str]:
    """A sentence if iterations of the runs are not equally long."""

    sizes = sorted({run.run.recipe['training']['batch_size'] for run in runs})
    if len(sizes) == 1:
        return []
    return [f'The batches have {" or ".join(map(str, sizes))} images, so iterations cannot be compared.']
