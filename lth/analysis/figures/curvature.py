"""The curvature of the loss at the trained weights of each round, and the distance that training moved them."""
from collections.abc import Callable

from lth.analysis.loss_landscape.curvature_files import CURVATURES, Curvature
from lth.analysis.plotting import palette
from lth.analysis.plotting.axes import density_axis, interval_caption, mean_point
from lth.analysis.plotting.registry import FIGURES, FigureRequest
from lth.analysis.plotting.runs import PlottedRun, all_notes, pair_title
from lth.analysis.plotting.series import Axis, FigureData, NoData, Panel, Series
from lth.analysis.plotting.shades import ShadedRun, shaded_runs
from lth.analysis.statistics import confidence_interval

# The curvature of each seed, by round.
_Found = dict[int, list[Curvature]]
_PANELS: dict[str, Callable[[Curvature], float | None]] = {
    'largest eigenvalue of the Hessian': lambda one: one.eigenvalue,
    'trace of the Hessian': lambda one: one.trace,
    'distance from the ticket / its length': lambda one: one.relative_distance,
    'kept weights whose sign changes (%)': lambda one: 100 * one.flips}


@FIGURES.register('curvature')
def curvature(request: FigureRequest) -> FigureData | NoData:
    """Largest eigenvalue and trace of the Hessian at trained weights (`lth stability --curvature`), and distances."""

    found = [(shaded, _found(shaded.run)) for shaded in shaded_runs(request.runs)]
    measured = [(shaded, rounds) for shaded, rounds in found if rounds]
    if not measured:
        return NoData(f'its curvature was not measured, see: lth stability {request.runs[0].run.folder} --curvature')
    runs = [shaded.run for shaded, _ in measured]
    panels = tuple(Panel(
        x=density_axis(runs), y=Axis(label=label),
        series=tuple(_series(shaded, rounds, value) for shaded, rounds in measured))
        for label, value in _PANELS.items())
    return FigureData(
        name='curvature', title=pair_title(runs), panels=panels, notes=all_notes(runs),
        caption=f'{interval_caption(panels)}; kept weights only')


def _found(run: PlottedRun) -> _Found:
    """The curvature at the weights that the run has now."""

    rounds: _Found = {}
    for measured, one in CURVATURES.read_finest(run.run, run.seeds):
        rounds.setdefault(measured.round, []).append(one)
    return rounds


def _series(shaded: ShadedRun, rounds: _Found, value: Callable[[Curvature], float | None]) -> Series:
    """A value in each round, against the weights that remain."""

    points = []
    for number, group in rounds.items():
        values = [one for one in map(value, group) if one is not None]
        density = shaded.run.rows[number].density
        if values and density:
            points.append(mean_point(100 * density, confidence_interval(values)))
    return Series(label=shaded.label('trained weights'), points=tuple(points), color=palette.color(shaded.number),
                  marker=palette.marker(shaded.number))
