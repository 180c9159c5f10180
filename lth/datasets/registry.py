"""The registry of data sets, and the names it does not hold: `folder:PATH`, `npz:FILE`, `hf:OWNER/NAME`,
`torchvision-dataset:NAME`, `object:…`, or a user's function.
"""
from collections.abc import Callable
from typing import cast

from lth.datasets import hub_sets, image_folders, npz_files, torchvision_classes, user_functions
from lth.datasets.source import Source
from lth.registry import objects
from lth.registry.registry import Registry

# What finds the source of a name with this prefix, given the rest of the name.
_KINDS: dict[str, Callable[[str], Source]] = {
    'folder': image_folders.source, 'npz': npz_files.source, 'hf': hub_sets.source,
    'torchvision-dataset': torchvision_classes.source}


def _external_source(name: str) -> Source:
    """The source for a name with a colon."""

    if objects.is_object(name):
        return cast(Source, objects.find(name))
    kind, _, rest = name.partition(':')
    return _KINDS[kind](rest) if kind in _KINDS else user_functions.source(name)


DATASETS: Registry[Source] = Registry('data set', external=_external_source)
