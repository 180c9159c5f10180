"""Soups next to their copies, and pooled tickets before and after, against the weights that remain."""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lth.analysis import averages as tables
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, interval_caption, mean_point, percent_axis
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Reference, Series
from lth.analysis.statistics import Interval


class _Curve(NamedTuple):
    """A value of each row, and whether it is a comparison and so dashed."""

    label: str
    value: Callable[[Any], Interval]
    dashed: bool = False


_SOUPS = (_Curve('soup', lambda row: row.soup), _Curve('best copy', lambda row: row.best_copy, True),
          _Curve('mean of copies', lambda row: row.mean_of_copies, True))
_POOLS = (_Curve('pooled', lambda row: row.after), _Curve('before', lambda row: row.before, True))
_SOUP_GAINS = (_Curve('soup − best copy', lambda row: row.over_best),
               _Curve('soup − mean of copies', lambda row: row.over_mean))
_POOL_GAINS = (_Curve('pooled − before', lambda row: row.gain),)


@FIGURES.register('averages')
def averages(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy of soups and their copies, or of pooled tickets before and after; and the gains, paired by seed."""

    accuracies, gains, shown = list[Series](), list[Series](), list[PlottedRun]()
    for run in request.runs:
        for rows, curves, differences in _tables(run):
            prefix = f'{run.label}, ' if len(request.runs) > 1 else ''
            accuracies += _series(rows, curves, prefix, len(accuracies))
            gains += _series(rows, differences, prefix, len(gains))
            shown.append(run)
    if not shown:
        return NoData('it is neither a search with --copies nor a pool (lth pool)')
    panels = (
        Panel(x=density_axis(shown), y=percent_axis('test accuracy (%)'), series=tuple(accuracies)),
        Panel(x=density_axis(shown), y=Axis(label='difference (points)'), series=tuple(gains),
              references=(Reference(label='no gain', value=0),)))
    return FigureData(name='averages', title=pair_title(shown), panels=panels, notes=all_notes(shown),
                      caption=f'{interval_caption(panels)}; differences are paired by seed')


def _tables(run: PlottedRun) -> list[tuple[Sequence[Any], Sequence[_Curve], Sequence[_Curve]]]:
    """The tables of a run that have rows, with their curves."""

    soups, pools = (rows(run.run, run.seeds) for rows in (tables.soup_rows, tables.pool_rows))
    found: list[tuple[Sequence[Any], Sequence[_Curve], Sequence[_Curve]]] = [
        (soups, _SOUPS, _SOUP_GAINS), (pools, _POOLS, _POOL_GAINS)]
    return [entry for entry in found if entry[0]]


def _series(rows: Sequence[Any], curves: Sequence[_Curve], prefix: str, first: int) -> list[Series]:
    return [Series(
        label=f'{prefix}{curve.label}', color=palette.color(number), marker=palette.marker(number),
        dashed=curve.dashed,
        points=tuple(mean_point(100 * row.density, curve.value(row), factor=100) for row in rows if row.density),
    ) for number, curve in enumerate(curves, first)]
