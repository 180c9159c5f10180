"""The register of data sets, and those that a user names: `folder:PATH`, or a function of the user's own code."""
from lth.datasets import folders, own
from lth.datasets.source import Source
from lth.registry.registry import Registry

_FOLDER = 'folder:'


def _foreign(name: str) -> Source:
    """The source of a name with a colon."""

    return folders.source(name.removeprefix(_FOLDER)) if name.startswith(_FOLDER) else own.source(name)


DATASETS: Registry[Source] = Registry('data set', foreign=_foreign)
