"""Figures as objects that can be shown in a notebook and saved."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth.analysis.plotting import image_files
from lth.analysis.plotting.image_files import ImageTarget
from lth.analysis.plotting.series import FigureData
from lth.analysis.plotting.styles import STYLES, Style, find_style
from lth.system import lazy_import

# matplotlib takes a second to import, and most users of these modules draw nothing.
if TYPE_CHECKING:
    from lth.analysis.plotting import drawing
else:
    drawing = lazy_import.module('lth.analysis.plotting.drawing')


@dataclass(frozen=True)
class Plot:
    """A figure with the style in which it is drawn. Notebooks show it.

        plot = run.plot('accuracy')
        plot.save('accuracy.pdf')
        figure = plot.matplotlib()      # to change it before it is saved
    """

    data: FigureData
    style: Style = field(default=STYLES['screen'], repr=False)

    def __repr__(self) -> str:
        return f'Plot of {self.data.name}: {self.data.title}'

    def save(self, file: str | Path) -> None:
        """Write the figure to a .png, .svg or .pdf file. LthError if it has another type or cannot be written."""

        path = Path(file)
        image_files.write_image(path, [self.data], self.style)

    def matplotlib(self) -> Any:
        """The figure as a new matplotlib.figure.Figure."""

        return drawing.draw(self.data, self.style)

    def _repr_png_(self) -> bytes:
        return drawing.encode([self.data], self.style, 'png')


def plots(figures: Sequence[FigureData], style: str = 'screen') -> list[Plot]:
    """The figures, to be drawn in the style with this name. LthError if there is none."""

    return [Plot(figure, find_style(style)) for figure in figures]


def save_plots(drawn: Sequence[Plot], target: ImageTarget) -> list[Path]:
    """Write the figures, and return the file of each. LthError if one cannot be written."""

    if not target.is_folder:
        image_files.write_image(target.path, [plot.data for plot in drawn], drawn[0].style)
    else:
        for plot in drawn:
            plot.save(target.file(plot.data.name))
    return [target.file(plot.data.name) for plot in drawn]
