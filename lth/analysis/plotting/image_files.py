"""The files in which figures are saved: their names and types, checked before anything is drawn."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from lth.analysis.plotting.series import FigureData
from lth.analysis.plotting.styles import Style
from lth.errors import LthError, quote
from lth.runs import integrity
from lth.system import files, lazy_import

# matplotlib takes a second to import, and most users of these modules draw nothing.
if TYPE_CHECKING:
    from lth.analysis.plotting import drawing
else:
    drawing = lazy_import.module('lth.analysis.plotting.drawing')

FileType = Literal['png', 'svg', 'pdf']
FILE_TYPES: tuple[FileType, ...] = get_args(FileType)


@dataclass(frozen=True)
class ImageTarget:
    """Where figures are saved: all in one file, or in a folder as files of this type, named after the figures."""

    path: Path
    type: FileType
    is_folder: bool

    def file(self, figure: str) -> Path:
        """The file of a figure."""

        return self.path / f'{figure}.{self.type}' if self.is_folder else self.path


def image_target(runs: Sequence[Path], output: Path | None, type_: FileType | None) -> ImageTarget:
    """Where the figures of the runs in these folders are saved: in `output`, a file or a folder, by default in the
    folder of a single run or in ./figures. LthError if the output has another type than a figure.
    """

    if output is None:
        output = runs[0] / 'figures' if len(runs) == 1 else Path('figures')
    elif output.suffix and not output.is_dir():
        kind = file_type(output)
        if type_ not in (None, kind):
            raise LthError(f'{quote(str(output))} is not a .{type_} file. Leave out --format, or change the name.')
        return ImageTarget(output, kind, is_folder=False)
    return ImageTarget(output, type_ or 'png', is_folder=True)


def file_type(path: Path) -> FileType:
    """The type of an image by the ending of its name. LthError if there is no such type."""

    for known in FILE_TYPES:
        if path.suffix.lower() == f'.{known}':
            return known
    raise LthError(f'The type of {quote(str(path))} is unknown. End the name with .png, .svg or .pdf.')


def write_image(path: Path, figures: Sequence[FigureData], style: Style) -> None:
    """Write one figure, or a page for each of several figures, which needs a PDF. LthError if that is not possible."""

    kind = file_type(path)
    if len(figures) > 1 and kind != 'pdf':
        names = ', '.join(figure.name for figure in figures)
        raise LthError(f'{quote(str(path))} can hold one figure, but there are {len(figures)}: {names}. Choose one '
                       'with --figure, or give a folder or a .pdf file.')
    if (path.parent / integrity.SUMS).exists():
        raise LthError(f'{path.parent} is a round of a run, whose files are complete. Choose another folder.')
    content = drawing.encode(figures, style, kind)
    files.create_folder(path.parent)
    files.write(path, content)
