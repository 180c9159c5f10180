"""How many kept weights change their sign in training: in each round, by start magnitude, and in each layer."""
import itertools
from collections.abc import Callable, Mapping, Sequence

from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, interval_caption, level_label, mean_point, shown_rounds
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Series, Tick
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.sign_flips import DECILES, SignReport, SignRow, is_comparable, sign_report
from lth.analysis.statistics import Interval

_Y = 'kept weights whose sign changes (%)'
# Tick labels that fit below a panel.
_MOST_TICKS = 12
_Rows = Mapping[int, SignRow]


@FIGURES.register('sign-flips')
def sign_flips(request: FigureRequest) -> FigureData | NoData:
    """Kept weights whose sign differs between ticket and trained network: by round, start magnitude and layer."""

    shown = [shaded for shaded in shaded_runs(request.runs) if is_comparable(shaded.run.run, shaded.run.seeds)]
    if not shown:
        return NoData('no signs can be compared: no round is trained from a ticket on, or --keep removed weights')
    reports = [sign_report(shaded.run.run, shaded.run.seeds) for shaded in shown]
    found = list(zip(shown, map(_by_round, reports), strict=True))
    panels = [_round_panel(found)]
    for shaded, rows in found:
        panels += [_decile_panel(shaded, rows, request.rounds), _layer_panel(shaded, rows, request.rounds)]
    runs = [shaded.run for shaded in shown]
    notes = itertools.chain.from_iterable(report.notes for report in reports)
    return FigureData(
        name='sign-flips', title=pair_title(runs), panels=tuple(panels), notes=(*all_notes(runs), *notes),
        caption=interval_caption(panels))


def _by_round(report: SignReport) -> _Rows:
    return {row.round: row for row in report.rows}


def _round_panel(found: Sequence[tuple[ShadedRun, _Rows]]) -> Panel:
    """The share of all kept weights against the weights that remain, a curve for each run."""

    series = []
    for number, (shaded, rows) in enumerate(found):
        points = tuple(mean_point(100 * row.density, row.share, factor=100) for row in rows.values() if row.share)
        series.append(Series(label=shaded.label('all kept weights'), points=points, color=palette.color(number),
                             marker=palette.marker(number)))
    return Panel(x=density_axis([shaded.run for shaded, _ in found]), y=Axis(label=_Y), series=tuple(series))


def _decile_panel(shaded: ShadedRun, rows: _Rows, rounds: Sequence[int] | None) -> Panel:
    """The share in each tenth of the weights, a curve for each of some rounds."""

    ticks = tuple(Tick(index + 1, str(index + 1)) for index in range(DECILES))
    axis = Axis(label='tenth of the kept weights, from small to large before training', ticks=ticks)
    return Panel(x=axis, y=Axis(label=_Y), series=_series(shaded, rows, rounds, lambda row: row.deciles),
                 title=shaded.title)


def _layer_panel(shaded: ShadedRun, rows: _Rows, rounds: Sequence[int] | None) -> Panel:
    """The share in each layer, a curve for each of some rounds."""

    count = max(len(row.layers) for row in rows.values())
    numbers = range(1, count + 1, -(-count // _MOST_TICKS))
    axis = Axis(label='layer, from input to output', ticks=tuple(Tick(number, str(number)) for number in numbers))
    return Panel(x=axis, y=Axis(label=_Y), series=_series(shaded, rows, rounds, lambda row: list(row.layers.values())),
                 title=shaded.title)


def _series(
        shaded: ShadedRun, rows: _Rows, rounds: Sequence[int] | None,
        shares: Callable[[SignRow], Sequence[Interval | None]]) -> tuple[Series, ...]:
    """A curve for each round that is shown and has weights."""

    shown = _shown(shaded.run, rows, rounds)
    return tuple(Series(
        label=shaded.label(label), color=color,
        points=tuple(mean_point(place, share, factor=100) for place, share in enumerate(shares(row), 1) if share))
        for (label, row), color in zip(shown, shaded.colors(len(shown)), strict=True))


def _shown(run: PlottedRun, rows: _Rows, rounds: Sequence[int] | None) -> list[tuple[str, SignRow]]:
    return [(level_label(summary), rows[summary.source_number]) for summary in shown_rounds(run, rounds)
            if summary.source_number in rows]
