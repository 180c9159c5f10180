"""The registry of figures: functions (request) -> the content of the figure, or why these runs have none."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lth.analysis.plotting.runs import PlottedRun
from lth.analysis.plotting.series import FigureData, NoData
from lth.registry.registry import Registry


@dataclass(frozen=True)
class FigureRequest:
    """The runs of a figure, and the rounds that it should show if it cannot show all; None lets the figure choose."""

    runs: Sequence[PlottedRun]
    rounds: Sequence[int] | None = None


FigureFunction = Callable[[FigureRequest], FigureData | NoData]
FIGURES: Registry[FigureFunction] = Registry('figure')
