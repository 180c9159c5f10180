"""Histograms of the scores that a search for gems trains."""
from collections.abc import Sequence

import torch
from torch import Tensor

from lth.analysis.plotting.axes import level_label, shown_rounds
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Point, Series
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.summary_table import RoundSummary
from lth.runs.stored_tensors import stored_mask, stored_scores

_BINS = 40


@FIGURES.register('scores')
def scores(request: FigureRequest) -> FigureData | NoData:
    """Histogram of the scores of active weights in some rounds of a search for gems."""

    panels, runs = [], []
    for shaded in shaded_runs(request.runs):
        panel = _panel(shaded, request.rounds)
        if panel:
            panels.append(panel)
            runs.append(shaded.run)
    if not panels:
        return NoData('no scores are on disk: the algorithm trains none, or --keep removed them')
    return FigureData(
        name='scores', title=pair_title(runs), panels=tuple(panels), notes=all_notes(runs),
        caption='share of the active weights, which are not frozen at 0, in each of 40 intervals; mean over seeds')


def _panel(shaded: ShadedRun, rounds: Sequence[int] | None) -> Panel | None:
    """The histograms of a run, None if it has no scores."""

    active = {level_label(row): _active_scores(shaded.run, row) for row in shown_rounds(shaded.run, rounds)}
    active = {label: found for label, found in active.items() if found}
    if not active:
        return None
    limits = _limits([seed for found in active.values() for seed in found])
    series = tuple(Series(
        label=shaded.label(label), points=_histogram(found, *limits), color=color, kind='steps', marker='none')
        for (label, found), color in zip(active.items(), shaded.colors(len(active)), strict=True))
    return Panel(x=Axis(label='score'), y=Axis(label='active weights (%)'), series=series, title=shaded.title)


def _limits(seeds: Sequence[Tensor]) -> tuple[float, float]:
    """The least and the largest score, which differ."""

    least, largest = min(float(one.min()) for one in seeds), max(float(one.max()) for one in seeds)
    return least, largest if largest > least else least + 1


def _active_scores(run: PlottedRun, row: RoundSummary) -> list[Tensor]:
    """The scores of the weights that each seed keeps, of the seeds that have scores and weights."""

    found = []
    for result in row.results:
        stored = stored_scores(run.run, result.seed, row.number)
        if stored is not None and result.kept:
            found.append(stored[stored_mask(run.run, result.seed, row.number)])
    return found


def _histogram(seeds: Sequence[Tensor], least: float, largest: float) -> tuple[Point, ...]:
    """The share of scores in each bin in percent, as a mean over seeds; the last point ends the last bin."""

    shares = [torch.histc(seed.double(), _BINS, least, largest) / len(seed) for seed in seeds]
    mean = (100 * torch.stack(shares).mean(0)).tolist()
    width = (largest - least) / _BINS
    return tuple(Point(least + index * width, share, n=len(seeds)) for index, share in enumerate([*mean, mean[-1]]))
