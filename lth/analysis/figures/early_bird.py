"""How far masks are from those of the last measurements while round 0 trains, at several densities."""
from lth.analysis.early_bird import distances
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import interval_caption, mean_point, percent_label
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Reference, Series
from lth.analysis.statistics import confidence_interval
from lth.pruning.early_bird import THRESHOLD

_MOST_CURVES = 6


@FIGURES.register('early-bird')
def early_bird(request: FigureRequest) -> FigureData | NoData:
    """Distance of masks to the last four during round 0, divided by that of random masks, at up to six densities."""

    runs = [run for run in request.runs if all(run.run.record(seed, 0).early_bird for seed in run.seeds)]
    if not runs:
        return NoData('no masks were compared while it was trained, see lth find-ticket --early-bird')
    panels = tuple(_panel(run, title=run.label if len(runs) > 1 else '') for run in runs)
    return FigureData(
        name='early-bird', title=pair_title(runs), panels=panels, notes=all_notes(runs),
        caption=f'{interval_caption(panels)}; the largest distance to the masks of the last four measurements')


def _panel(run: PlottedRun, title: str) -> Panel:
    record = run.run.record(run.seeds[0], 0)
    assert record.early_bird
    count = len(record.early_bird.kept)
    shown = sorted({round(place * (count - 1) / max(1, _MOST_CURVES - 1)) for place in range(_MOST_CURVES)})
    colors = palette.scale(len(shown))
    series = tuple(_series(run, index, 100 * record.early_bird.kept[index] / record.prunable, color)
                   for index, color in zip(shown, colors, strict=True))
    return Panel(
        x=Axis(label='iteration'), y=Axis(label='distance ÷ that of random masks'), series=series, title=title,
        references=(Reference(label=f'early bird, {THRESHOLD:g}', value=THRESHOLD),
                    Reference(label='random masks', value=1)))


def _series(run: PlottedRun, index: int, percentage: float, color: str) -> Series:
    """The means over the seeds at each iteration."""

    values: dict[int, list[float]] = {}
    for seed in run.seeds:
        record = run.run.record(seed, 0)
        assert record.early_bird
        for iteration, distance in distances(run.run.metrics(seed, 0), index, record.early_bird.chance[index]):
            values.setdefault(iteration, []).append(distance)
    points = tuple(mean_point(iteration, confidence_interval(found)) for iteration, found in values.items())
    return Series(label=f'{percent_label(percentage)}%', points=points, color=color, marker='none')
