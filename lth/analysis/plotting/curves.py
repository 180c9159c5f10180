"""The curves of figures with a point for each round: one for each run, and one for each of its controls."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lth.analysis.plotting import palette
from lth.analysis.plotting.runs import PlottedRun
from lth.analysis.plotting.series import Point, Series
from lth.analysis.summary_table import RoundSummary


@dataclass(frozen=True)
class Curve:
    """The rounds of a run, or of one of its controls over all draws; curves of one color number have one color."""

    label: str
    rows: Sequence[RoundSummary]
    color: int
    marker: int
    is_control: bool

    def series(self, points: Sequence[Point]) -> Series:
        """The curve through these points; those of controls are dashed."""

        return Series(label=self.label, points=tuple(points), color=palette.color(self.color),
                      marker=palette.marker(self.marker), dashed=self.is_control)


def run_curves(runs: Sequence[PlottedRun]) -> list[Curve]:
    """The curves of these runs. With one run all have different colors, with several runs those of a run have the same,
    and runs of one color differ in their markers.
    """

    return _curves_of_one(runs[0]) if len(runs) == 1 else _curves_of_several(runs)


def all_series(
        curves: Sequence[Curve], points: Callable[[Sequence[RoundSummary]], Sequence[Point]]) -> tuple[Series, ...]:
    """A series for each curve that has points."""

    return tuple(curve.series(found) for curve in curves if (found := points(curve.rows)))


def _curves_of_one(run: PlottedRun) -> list[Curve]:
    curves = [Curve('ticket', run.rows, 0, 0, is_control=False)]
    for number, (name, rows) in enumerate(run.control_rows.items(), 1):
        curves.append(Curve(name, rows, number, number, is_control=True))
    return curves


def _curves_of_several(runs: Sequence[PlottedRun]) -> list[Curve]:
    curves = []
    for number, run in enumerate(runs):
        own = palette.repetition(number)
        curves.append(Curve(run.label, run.rows, number, own, is_control=False))
        for marker, (name, rows) in enumerate(run.control_rows.items(), own + 1):
            curves.append(Curve(f'{run.label}, {name}', rows, number, marker, is_control=True))
    return curves
