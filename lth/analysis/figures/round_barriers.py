"""The error on the line from the trained weights of a round to those of the next, and its barrier in each round."""
from collections.abc import Callable, Sequence

from lth.analysis.loss_landscape.barrier_files import BARRIERS, RoundErrors
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import (
    density_axis, interval_caption, level_label, mean_point, percent_axis, shown_rounds)
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Reference, Series
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.stability_table import STABLE_BARRIER
from lth.analysis.statistics import confidence_interval
from lth.analysis.summary_table import RoundSummary

# Up to so many rounds all are shown.
_MOST_CURVES = 7
# The errors of each seed, by the number of the later round.
_Errors = dict[int, list[RoundErrors]]
_Curve = Callable[[RoundErrors], list[float]]


@FIGURES.register('round-barriers')
def round_barriers(request: FigureRequest) -> FigureData | NoData:
    """Test error on the line from each round to the next (`lth stability --between-rounds`), and its barrier."""

    found = [(shaded, _errors(shaded.run)) for shaded in shaded_runs(request.runs)]
    measured = [(shaded, errors) for shaded, errors in found if errors]
    if not measured:
        return NoData('the barriers between its rounds were not measured, see: lth stability '
                      f'{request.runs[0].run.folder} --between-rounds')
    panels = [panel for shaded, errors in measured for panel in _line_panels(shaded, errors, request.rounds)]
    panels.append(_barrier_panel(measured))
    runs = [shaded.run for shaded, _ in measured]
    return FigureData(
        name='round-barriers', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
        caption=f'{interval_caption(panels)}; barrier: highest error minus mean of the ends')


def _errors(run: PlottedRun) -> _Errors:
    """The pairs of the weights that the run has now."""

    errors: _Errors = {}
    for pair, one in BARRIERS.read_finest(run.run, run.seeds):
        errors.setdefault(pair.round, []).append(one)
    return errors


def _line_panels(shaded: ShadedRun, errors: _Errors, rounds: Sequence[int] | None) -> list[Panel]:
    """The errors on both lines, a curve for each round if there are few, and otherwise for some."""

    few = rounds is None and len(errors) <= _MOST_CURVES
    shown = shaded.run.rows if few else shown_rounds(shaded.run, rounds)
    rows = [row for row in shown if row.number in errors]
    starts: dict[str, _Curve] = {
        'line from the round before': lambda one: one.errors,
        'line from the round before, pruned': lambda one: one.projected}
    return [Panel(x=Axis(label=f'position on the {label}'), y=percent_axis('test error (%)'),
                  series=tuple(_line_series(shaded, rows, errors, curve)), title=shaded.title)
            for label, curve in starts.items() if rows]


def _line_series(
        shaded: ShadedRun, rows: Sequence[RoundSummary], errors: _Errors, curve: _Curve) -> list[Series]:
    return [Series(label=shaded.label(level_label(row)), points=_line_points(errors[row.number], curve), color=color,
                   marker='none')
            for row, color in zip(rows, shaded.colors(len(rows)), strict=True)]


def _line_points(group: Sequence[RoundErrors], curve: _Curve) -> tuple[Point, ...]:
    """The mean error at each point of the line, over the seeds that were measured at as many points as the first."""

    curves = [curve(errors) for errors in group]
    count = len(curves[0])
    alike = [one for one in curves if len(one) == count]
    return tuple(mean_point(index / (count - 1), confidence_interval([one[index] for one in alike]), factor=100)
                 for index in range(count))


def _barrier_panel(measured: Sequence[tuple[ShadedRun, _Errors]]) -> Panel:
    """The barrier against the weights that remain in the later round, a curve for each run."""

    series = []
    for number, (shaded, errors) in enumerate(measured):
        barriers = [(shaded.run.rows[later], [one.barrier for one in group]) for later, group in errors.items()]
        points = tuple(mean_point(100 * row.density, confidence_interval(values), factor=100)
                       for row, values in barriers if row.density)
        series.append(Series(label=shaded.label('barrier'), points=points, color=palette.color(number),
                             marker=palette.marker(number)))
    limit = Reference(label='limit of no barrier', value=100 * STABLE_BARRIER)
    return Panel(x=density_axis([shaded.run for shaded, _ in measured]), y=Axis(label='barrier (percentage points)'),
                 series=tuple(series), references=(limit,))
