"""How the mask of a sparse training moved: the weights that each event changed, and those that were ever active."""
from collections.abc import Callable, Sequence

from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import interval_caption, mean_point, percent_axis
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Series
from lth.analysis.statistics import confidence_interval
from lth.runs.events_file import EventLine

# A curve has at most about this many events; of more, every second, third … is shown.
_MOST_POINTS = 500
_MOST_MARKERS = 30
_Value = Callable[[PlottedRun, EventLine], float]


@FIGURES.register('mask-churn')
def mask_churn(request: FigureRequest) -> FigureData | NoData:
    """Share of the active weights that each event changed, and of all weights that were ever active, by iteration."""

    runs = [run for run in request.runs if run.first_record.moves and any(_events(run, run.seeds[0]))]
    if not runs:
        return NoData('its mask does not move within the training')
    values: list[tuple[str, _Value]] = [
        ('active weights changed by an event (%)', lambda _run, event: event.churn),
        ('weights ever active (%)', _ever_active)]
    panels = tuple(_panel(runs, label, value) for label, value in values)
    return FigureData(name='mask-churn', title=pair_title(runs), panels=panels, notes=all_notes(runs),
                      caption=interval_caption(panels))


def _panel(runs: Sequence[PlottedRun], label: str, value: _Value) -> Panel:
    series = tuple(_series(run, number, value, several=len(runs) > 1) for number, run in enumerate(runs))
    return Panel(x=Axis(label='iteration'), y=percent_axis(label), series=series)


def _series(run: PlottedRun, number: int, value: _Value, *, several: bool) -> Series:
    points = _points(run, value)
    marker = palette.marker(number) if len(points) <= _MOST_MARKERS else 'none'
    return Series(label=run.label if several else str(run.settings.short_name), points=points,
                  color=palette.color(number), marker=marker)


def _points(run: PlottedRun, value: _Value) -> tuple[Point, ...]:
    """The means over the seeds, at each iteration at which the masks of all seeds moved."""

    values: dict[int, list[float]] = {}
    for seed in run.seeds:
        for event in _events(run, seed):
            values.setdefault(event.iteration, []).append(value(run, event))
    common = [(step, found) for step, found in sorted(values.items()) if len(found) == len(run.seeds)]
    return tuple(mean_point(step, confidence_interval(found), factor=100)
                 for step, found in common[::-(-len(common) // _MOST_POINTS) or 1])


def _events(run: PlottedRun, seed: int) -> Sequence[EventLine]:
    return [event for number in range(run.run.round_count(seed)) for event in run.run.events(seed, number)]


def _ever_active(run: PlottedRun, event: EventLine) -> float:
    record = run.first_record
    return (event.ever_active + record.weights - record.prunable) / record.weights
