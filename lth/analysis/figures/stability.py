"""The error on the line between two copies of a ticket, as in figure 3 of Frankle et al. 2020, and its barrier."""
import itertools
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.pair_files import PAIRS, PairErrors
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, interval_caption, level_label, mean_point, percent_axis
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Reference, Series
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.stability_table import STABLE_BARRIER
from lth.analysis.statistics import confidence_interval


class _Group(NamedTuple):
    """Pairs of copies of one round that train apart from one iteration on, measured at as many points."""

    round: int
    iteration: int
    points: int


_Groups = dict[_Group, list[PairErrors]]


@FIGURES.register('stability')
def stability(request: FigureRequest) -> FigureData | NoData:
    """Test error on the line between two copies of a ticket (`lth stability`), and its barrier in each round."""

    found = [(shaded, _groups(shaded.run)) for shaded in shaded_runs(request.runs)]
    measured = [(shaded, groups) for shaded, groups in found if groups]
    if not measured:
        return NoData(f'its stability was not measured, see: lth stability {request.runs[0].run.folder}')
    runs = [shaded.run for shaded, _ in measured]
    panels = [*itertools.starmap(_line_panel, measured), _barrier_panel(measured)]
    return FigureData(
        name='stability', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
        caption=f'{interval_caption(panels, over="pairs of copies")}; barrier: highest error minus mean of the ends')


def _groups(run: PlottedRun) -> _Groups:
    """The pairs of the tickets that the run has now."""

    groups: _Groups = {}
    for pair, errors in PAIRS.read_present(run.run, run.seeds):
        groups.setdefault(_Group(pair.round, pair.iteration, pair.points), []).append(errors)
    return groups


def _line_panel(shaded: ShadedRun, groups: _Groups) -> Panel:
    """The error from one copy to the other, a curve for each group."""

    starts = {group.iteration for group in groups}
    series = []
    for (group, pairs), color in zip(groups.items(), shaded.colors(len(groups)), strict=True):
        points = [mean_point(index / (group.points - 1), confidence_interval([one.errors[index] for one in pairs]),
                             factor=100) for index in range(group.points)]
        label = level_label(shaded.run.rows[group.round])
        label += f', apart from {group.iteration:,}' if len(starts) > 1 else ''
        series.append(Series(label=shaded.label(label), points=tuple(points), color=color, marker='none'))
    return Panel(x=Axis(label='position on the line between the copies'), y=percent_axis('test error (%)'),
                 series=tuple(series), title=shaded.title)


def _barrier_panel(measured: Sequence[tuple[ShadedRun, _Groups]]) -> Panel:
    """The barrier against the weights that remain, a curve for each run and each iteration."""

    curves: dict[str, list[Point]] = {}
    for shaded, groups in measured:
        several_starts = len({group.iteration for group in groups}) > 1
        for group, pairs in groups.items():
            label = shaded.label('barrier')
            label += f', apart from {group.iteration:,}' if several_starts else ''
            barrier = confidence_interval([one.barrier for one in pairs])
            curves.setdefault(label, []).append(mean_point(
                100 * shaded.run.rows[group.round].density, barrier, factor=100))
    series = tuple(Series(label=label, points=tuple(points), color=palette.color(number),
                          marker=palette.marker(number)) for number, (label, points) in enumerate(curves.items()))
    limit = Reference(label='limit of stable training', value=100 * STABLE_BARRIER)
    return Panel(x=density_axis([shaded.run for shaded, _ in measured]), y=Axis(label='barrier (percentage points)'),
                 series=series, references=(limit,))
