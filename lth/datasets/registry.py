"""The registry of data sets, and the names it does not hold: `folder:PATH`, `object:…`, or a user's function."""
from typing import cast

from lth.datasets import image_folders, user_functions
from lth.datasets.source import Source
from lth.registry import objects
from lth.registry.registry import Registry

_FOLDER = 'folder:'


def _external_source(name: str) -> Source:
    """The source for a name with a colon."""

    if objects.is_object(name):
        return cast(Source, objects.find(name))
    return image_folders.source(name.removeprefix(_FOLDER)) if name.startswith(_FOLDER) else user_functions.source(name)


DATASETS: Registry[Source] = Registry('data set', external=_external_source)
