"""Accuracy and loss against the iteration, a curve for each of some rounds, as in figure 3 of Frankle & Carbin 2019."""
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lth.analysis.plotting.axes import interval_caption, level_label, mean_point, percent_axis, shown_rounds
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Series
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.statistics import confidence_interval
from lth.analysis.summary_table import RoundSummary
from lth.runs.metrics_file import MetricsLine


class _Quantity(NamedTuple):
    """What a panel shows of each measurement; None where it was not measured."""

    label: str
    value: Callable[[MetricsLine], float | None]
    factor: float = 1


_ACCURACY = _Quantity('test accuracy (%)', lambda line: line.test_accuracy, 100)
_LOSSES = (_Quantity('validation loss', lambda line: line.validation_loss),
           _Quantity('training loss', lambda line: line.train_loss))


@FIGURES.register('learning-curves')
def learning_curves(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy, validation loss and training loss against the iteration, a curve for each of some rounds."""

    shown = [one for one in shaded_runs(request.runs) if one.run.settings.trains != 'never']
    runs = [one.run for one in shown]
    if not runs:
        return NoData('nothing is trained in its rounds')
    quantities = (_ACCURACY,) if len(runs) > 1 else (_ACCURACY, *_LOSSES)
    panels = [_panel(shaded, _trainings(shaded.run, request.rounds), quantity)
              for shaded in shown for quantity in quantities]
    return FigureData(
        name='learning-curves', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
        caption=interval_caption(panels))


def _trainings(run: PlottedRun, rounds: Sequence[int] | None) -> dict[str, list[RoundSummary]]:
    """The rounds of each curve by its label: one round, or all if they are parts of one training."""

    if run.settings.trains == 'throughout' and rounds is None:
        return {'all rounds': list(run.rows)}
    return {level_label(row): [row] for row in shown_rounds(run, rounds)}


def _panel(shaded: ShadedRun, trainings: Mapping[str, Sequence[RoundSummary]], quantity: _Quantity) -> Panel:
    colors = shaded.colors(len(trainings))
    series = tuple(Series(label=shaded.label(label), points=_points(shaded.run, rows, quantity), color=color,
                          marker='none') for (label, rows), color in zip(trainings.items(), colors, strict=True))
    limits = _limits([one.points for one in series if one.points])
    y = percent_axis(quantity.label, limits) if quantity.factor == 100 else Axis(label=quantity.label, limits=limits)
    return Panel(x=Axis(label='iteration'), y=y, series=series, title=shaded.title)


def _limits(curves: Sequence[Sequence[Point]]) -> tuple[float, float] | None:
    """The range after the first tenth of the iterations: the values of untrained networks would hide all others."""

    shown = [end for points in curves for point in points if point.x > points[0].x + 0.1 * (points[-1].x - points[0].x)
             for end in (point.y, point.low, point.high) if end is not None]
    if not shown or min(shown) == max(shown):
        return None
    margin = 0.05 * (max(shown) - min(shown))
    return min(shown) - margin, max(shown) + margin


def _points(run: PlottedRun, rows: Sequence[RoundSummary], quantity: _Quantity) -> tuple[Point, ...]:
    """The points of successive rounds. Where a round ends and the next begins, two if pruning changed the value."""

    return tuple(dict.fromkeys(point for row in rows for point in _round_points(run, row, quantity)))


def _round_points(run: PlottedRun, row: RoundSummary, quantity: _Quantity) -> tuple[Point, ...]:
    """The means over the seeds that have the round, at each iteration that all of them measured."""

    values: dict[int, list[float]] = {}
    for result in row.results:
        for line in run.run.metrics(result.seed, row.number):
            value = quantity.value(line)
            if value is not None:
                values.setdefault(line.iteration, []).append(value)
    return tuple(mean_point(iteration, confidence_interval(measured), factor=quantity.factor)
                 for iteration, measured in sorted(values.items()) if len(measured) == len(row.results))
