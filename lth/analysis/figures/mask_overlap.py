"""How many weights the masks of different seeds share, compared with random masks."""
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from lth.analysis import mask_overlap as overlaps
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, interval_caption, mean_point, percent_axis
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Reference, Series
from lth.analysis.statistics import confidence_interval
from lth.runs.stored_tensors import stored_mask

# Shared weights and chance of each pair of seeds, by the percentage of weights that remain.
_Shares = dict[float, list[tuple[float, float]]]


@FIGURES.register('mask-overlap')
def mask_overlap(request: FigureRequest) -> FigureData | NoData:
    """Weights that the masks of two seeds share, of those that at least one keeps, in each round; and for random masks.
    """

    runs = [run for run in request.runs if len(run.seeds) > 1]
    if not runs:
        return NoData('it has one seed, and the masks of several seeds are compared')
    shares, several = [_shares(run) for run in runs], len(runs) > 1
    shared = [one for number, (run, found) in enumerate(zip(runs, shares, strict=True))
              for one in _shared_series(run, found, number, several=several)]
    ratios = [_series(f'{run.label}, ' if several else '', 'masks of two seeds', found, _ratio, number)
              for number, (run, found) in enumerate(zip(runs, shares, strict=True))]
    panels = (
        Panel(x=density_axis(runs), y=percent_axis('weights that both masks keep (%)'), series=tuple(shared)),
        Panel(x=density_axis(runs), y=Axis(label='times as many as random masks'), series=tuple(ratios),
              references=(Reference(label='as random masks', value=1),)))
    return FigureData(
        name='mask-overlap', title=pair_title(runs), panels=panels, notes=all_notes(runs),
        caption=f'{interval_caption(panels, over="pairs of seeds")}; of the weights that at least one mask keeps')


def _shared_series(run: PlottedRun, shares: _Shares, number: int, *, several: bool) -> list[Series]:
    """The shared weights of a run in percent, and those of random masks, dashed."""

    prefix, second = (f'{run.label}, ', number) if several else ('', number + 1)
    found = _series(prefix, 'masks of two seeds', shares, lambda pair: 100 * pair[0], number)
    random = _series(prefix, 'random masks', shares, lambda pair: 100 * pair[1], second)
    return [found, replace(random, dashed=True, marker=palette.marker(number + 1))]


def _series(
        prefix: str, label: str, shares: _Shares, value: Callable[[tuple[float, float]], float], number: int) -> Series:
    points = tuple(mean_point(density, confidence_interval(list(map(value, pairs))))
                   for density, pairs in shares.items() if density)
    return Series(label=f'{prefix}{label}', points=points, color=palette.color(number), marker=palette.marker(number))


def _ratio(pair: tuple[float, float]) -> float:
    shared, chance = pair
    return shared / chance


def _shares(run: PlottedRun) -> _Shares:
    """The overlaps in the rounds that at least two seeds have; the masks of one round are in memory at a time."""

    shares: _Shares = {}
    for row in run.rows:
        masks = [stored_mask(run.run, result.seed, row.number) for result in row.results]
        pairs: Sequence[tuple[float, float]] = [
            overlaps.mask_overlap(first, second) for first, second in itertools.combinations(masks, 2)]
        if pairs:
            shares[100 * row.density] = list(pairs)
    return shares
