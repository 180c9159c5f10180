"""Accuracy against the multiply-adds of the network for one image."""
from collections.abc import Sequence

from lth.analysis.plotting.axes import interval_caption, mean_point, percent_axis
from lth.analysis.plotting.curves import all_series, run_curves
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point
from lth.analysis.statistics import confidence_interval
from lth.analysis.summary_table import RoundSummary


@FIGURES.register('operations')
def operations(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy against the multiply-adds of the remaining weights for one image, with the controls."""

    runs = [run for run in request.runs if run.settings.trains == 'each' and _points(run.rows)]
    if not runs:
        return NoData('its rounds are not trained one by one, or their multiply-adds are unknown')
    series = all_series(run_curves(runs), _points)
    axis = Axis(label='multiply-adds for one image', scale='log', reverse=True)
    panel = Panel(x=axis, y=percent_axis('test accuracy at the end of training (%)'), series=series)
    return FigureData(name='operations', title=pair_title(runs), panels=(panel,), notes=all_notes(runs),
                      caption=interval_caption([panel]))


def _points(rows: Sequence[RoundSummary]) -> list[Point]:
    """The rounds whose multiply-adds are known, and are not 0, for all of their networks."""

    points = []
    for row in rows:
        counts = [float(result.operations.surviving) for result in row.results if result.operations is not None]
        if len(counts) == len(row.results) and min(counts) > 0:
            points.append(mean_point(confidence_interval(counts).mean, row.test_accuracy, factor=100))
    return points
