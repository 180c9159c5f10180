"""The accuracy of gems before and after finetuning, as in figures 1 and 4 of Sreenivasan et al. 2022."""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import (
    density_axis, density_points, interval_caption, level_axis, mean_point, percent_axis)
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Reference, Series, Tick
from lth.analysis.summary_table import RoundSummary, summary_rows

_STAGES = ('before finetuning', 'after finetuning')


class _Gem(NamedTuple):
    """The last round of a search for gems, and the run that finetuned it, None if there is none."""

    run: PlottedRun
    before: RoundSummary
    after: RoundSummary | None

    @property
    def method(self) -> str:
        """Model and algorithm."""

        return f'{self.run.model}, {self.run.settings.short_name}'


@FIGURES.register('gems')
def gems(request: FigureRequest) -> FigureData | NoData:
    """Test accuracy of gems before any training and after finetuning, at one or several densities; and of each round of
    the search.
    """

    runs = [run for run in request.runs if run.settings.finds == 'gems']
    if not runs:
        return NoData('it does not search for gems')
    found = [_gem(run) for run in runs]
    panels = [_by_density(found) if len({gem.before.density for gem in found}) > 1 else _by_stage(found)]
    searches = [run for run in runs if len(run.rows) > 1]
    if searches:
        panels.append(_search_panel(searches))
    return FigureData(
        name='gems', title=pair_title(runs), panels=tuple(panels), notes=(*all_notes(runs), *_notes(found)),
        caption=interval_caption(panels))


def _gem(run: PlottedRun) -> _Gem:
    finetuned = run.view.finetuned
    rows = summary_rows([finetuned], [seed for seed in run.seeds if finetuned.round_count(seed)]) if finetuned else []
    return _Gem(run, run.rows[-1], rows[0] if rows else None)


def _notes(found: Sequence[_Gem]) -> list[str]:
    """A sentence for each gem without a finetuned run."""

    return [f'{gem.run.run.folder} was not finetuned: lth finetune {gem.run.run.folder}.'
            for gem in found if gem.after is None]


def _by_stage(found: Sequence[_Gem]) -> Panel:
    """Gems of one density: a line for each run, from before to after finetuning."""

    series = []
    for number, gem in enumerate(found):
        rows = [gem.before] if gem.after is None else [gem.before, gem.after]
        points = [mean_point(stage, row.test_accuracy, factor=100) for stage, row in enumerate(rows)]
        series.append(Series(label=gem.run.label, points=tuple(points), color=palette.color(number),
                             marker=palette.marker(number)))
    ticks = tuple(Tick(position, stage) for position, stage in enumerate(_STAGES))
    return _panel(Axis(label='', ticks=ticks, padded=True), series, found)


def _by_density(found: Sequence[_Gem]) -> Panel:
    """Gems of several densities: two curves for each method, the one before finetuning dashed."""

    by_method: dict[str, list[_Gem]] = {}
    for gem in sorted(found, key=lambda gem: -gem.before.density):
        by_method.setdefault(gem.method, []).append(gem)
    series = [one for number, (method, gems_) in enumerate(by_method.items())
              for one in _stage_series(method, gems_, number)]
    axis = level_axis([gem.before.density for gem in found])
    return _panel(axis, [one for one in series if one.points], found)


def _stage_series(method: str, found: Sequence[_Gem], number: int) -> list[Series]:
    """The curves of a method before, dashed, and after finetuning."""

    stages = [gem.before for gem in found], [gem.after for gem in found if gem.after]
    return [Series(label=f'{method}, {label}', points=_density_points(rows), color=palette.color(number),
                   dashed=label == _STAGES[0], marker=palette.marker(number))
            for label, rows in zip(_STAGES, stages, strict=True)]


def _search_panel(runs: Sequence[PlottedRun]) -> Panel:
    """The accuracy of the untrained weights in each round of the search."""

    series = [Series(label=run.label, points=_density_points(run.rows),
                     color=palette.color(number), marker=palette.marker(number)) for number, run in enumerate(runs)]
    axis = density_axis(runs)
    return Panel(x=axis, y=percent_axis('test accuracy, untrained (%)'), series=tuple(series),
                 references=(_chance(runs[0]),), title='during the search')


def _density_points(rows: Sequence[RoundSummary]) -> tuple[Point, ...]:
    return density_points(rows, lambda row: row.test_accuracy, factor=100)


def _panel(x: Axis, series: Sequence[Series], found: Sequence[_Gem]) -> Panel:
    return Panel(x=x, y=percent_axis('test accuracy (%)'), series=tuple(series), references=(_chance(found[0].run),))


def _chance(run: PlottedRun) -> Reference:
    return Reference(label='chance', value=100 / run.first_record.classes)
