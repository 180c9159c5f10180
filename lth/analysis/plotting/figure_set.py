"""The figures of some runs: those that are named, or all that there are data for. Nothing is drawn here.

    figures = figure_set([parse_run_path('runs/lenet-300-100-digits')])
    for figure in figures.contents:
        print(figure.name, figure.panels[0].series[0].points)
"""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.figures import FIGURES
from lth.analysis.plotting.registry import FigureRequest
from lth.analysis.plotting.runs import PlottedRun, open_runs
from lth.analysis.plotting.series import FigureData, NoData
from lth.errors import LthError
from lth.runs.run_path import RunPath


class FigureSet(NamedTuple):
    """The figures of some runs, and why others cannot be made of them, by name."""

    contents: list[FigureData]
    left_out: dict[str, str]

    def notes(self) -> list[str]:
        """What the figures lack, and which figures are left out, in sentences without their periods."""

        missing = dict.fromkeys(note.rstrip('.') for figure in self.contents for note in figure.notes)
        return [*missing, *(f'there is no figure {name}: {reason}' for name, reason in self.left_out.items())]


def figure_set(
        paths: Sequence[RunPath], names: Sequence[str] | None = None, *, rounds: Sequence[int] | None = None,
) -> FigureSet:
    """The figures with these names, by default all that there are data for, of the runs at these paths. `rounds` are
    those that figures show which cannot show all. LthError if there are no data for a figure that is named, or for any.
    """

    canonical = None if names is None else [FIGURES.canonical(name) for name in names]
    return figures_of_runs(open_runs(paths), canonical, rounds=rounds)


def figures_of_runs(
        runs: Sequence[PlottedRun], names: Sequence[str] | None = None, *, rounds: Sequence[int] | None = None,
) -> FigureSet:
    """As `figure_set`, of runs that are open."""

    canonical = FIGURES.names() if names is None else list(dict.fromkeys(map(FIGURES.canonical, names)))
    request = FigureRequest(runs, rounds)
    contents, left_out = [], {}
    for name in canonical:
        figure = FIGURES.find(name)(request)
        if isinstance(figure, NoData):
            left_out[name] = figure.reason
        else:
            contents.append(figure)
    if left_out and (names is not None or not contents):
        name, reason = next(iter(left_out.items()))
        folders = ', '.join(str(run.run.folder) for run in runs)
        raise LthError(f'There is no figure {name} of {folders}: {reason}.')
    return FigureSet(contents, left_out)
