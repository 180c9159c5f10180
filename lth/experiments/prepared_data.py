"""Data sets written in advance, in the format that is streamed during training."""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lth.datasets import DATASETS
from lth.errors import LthError
from lth.recipes.schema import DataSettings, merge, validate_section


class PreparedData(NamedTuple):
    """The files that were written, and the settings of section `data` with which a recipe reads them."""

    files: list[Path]
    settings: dict[str, Any]


def prepare(
        name: str, datasets: Path, requested: Mapping[str, Any], on_progress: Callable[[int, int], None],
) -> PreparedData:
    """Write a data set to the folder `datasets`. `requested` holds settings of section `data`, None for the default.
    `on_progress` is called with the number of images that are written and the number of all images.
    """

    source = DATASETS.find(name)
    if source.prepare is None:
        raise LthError(f'{name} is read into memory, so it need not be prepared. Train on it without `lth prepare`.')
    settings = validate_section(DataSettings, merge(source.settings, {'name': name, **requested}), 'lth prepare')
    written = source.prepare(datasets, settings, on_progress)
    changed = {'size': settings.size if requested.get('size') else None,
               'channels': settings.channels if requested.get('channels') else None,
               'storage': 'stream' if source.streams == 'large' else None,
               'undecodable': 'skip' if settings.undecodable == 'skip' else None}
    return PreparedData(list(written), {key: value for key, value in changed.items() if value})
