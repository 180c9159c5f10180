"""Curves for the rounds or the layers of each run: with several runs, those of a run are shades of its own color."""
from collections.abc import Sequence
from dataclasses import dataclass

from lth.analysis.plotting import palette
from lth.analysis.plotting.runs import PlottedRun


@dataclass(frozen=True)
class ShadedRun:
    """A run in a figure, with the number of its color if there are `several`."""

    run: PlottedRun
    number: int
    several: bool

    @property
    def title(self) -> str:
        """The title of its panels, '' if all panels are of this run."""

        return self.run.label if self.several else ''

    def label(self, text: str) -> str:
        """The label of a curve, with the run if there are several."""

        return f'{self.run.label}, {text}' if self.several else text

    def colors(self, count: int) -> list[str]:
        """Colors for so many curves, in their order."""

        return palette.shades(self.number, count) if self.several else palette.scale(count)


def shaded_runs(runs: Sequence[PlottedRun]) -> list[ShadedRun]:
    """These runs, each with a color of its own."""

    return [ShadedRun(run, number, len(runs) > 1) for number, run in enumerate(runs)]
