"""Everything that can be chosen by name, each with a one-line summary.

To list another kind, write a function that returns its entries and add it to CATALOG.
"""
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lth.algorithms import ALGORITHMS
from lth.analysis import sanity_checks
from lth.datasets import DATASETS
from lth.models.initializers import INITIALIZERS
from lth.models.registry import MODELS
from lth.pruning.controls import available_controls
from lth.pruning.criteria import CRITERIA
from lth.pruning.mask_actions import MASK_ACTIONS
from lth.registry.registry import Registry


class Entry(NamedTuple):
    """A name and a summary in one line."""

    name: str
    summary: str


def entries(kind: str) -> list[Entry]:
    """The entries of a kind, such as 'models'; the keys of CATALOG are the kinds."""

    return list(CATALOG[kind]())


def _registered(*registries: Registry[Any]) -> Iterable[Entry]:
    """Names with the first sentences of the docstrings; with the kind if there are several registries."""

    for registry in registries:
        for name in registry.names():
            summary = ' '.join((registry.find(name).__doc__ or '').split('\n\n')[0].split())
            yield Entry(f'{name} ({registry.kind})' if len(registries) > 1 else name, summary)


def _models() -> Iterable[Entry]:
    yield from _registered(MODELS)
    yield Entry('torchvision:NAME', 'Any classification network of torchvision.models, untrained.')
    yield Entry('FILE.py:FUNCTION', 'Your own function (shape, classes) -> nn.Module; or package.module:function.')


def _datasets() -> Iterable[Entry]:
    for name in DATASETS.names():
        source = DATASETS.find(name)
        training, test = source.image_counts
        shape = '×'.join(map(str, source.shape))
        yield Entry(name, f'{source.summary}; {training:,} training and {test:,} test images of {shape}, '
                          f'{source.classes} classes')
    yield Entry('folder:PATH', 'images in subfolders, one for each class')
    yield Entry('FILE.py:FUNCTION', 'your own function; or package.module:function')


def _initializers() -> Iterable[Entry]:
    yield from _registered(INITIALIZERS)
    yield Entry('own', "The initialization in the model's own code; the default of models that are not part of lth.")


CATALOG: Mapping[str, Callable[[], Iterable[Entry]]] = {
    'models': _models,
    'datasets': _datasets,
    'criteria': lambda: _registered(CRITERIA),
    'actions': lambda: _registered(MASK_ACTIONS.mask_1, MASK_ACTIONS.mask_0),
    'controls': lambda: (Entry(name, summary) for name, summary in available_controls().items()),
    'initializers': _initializers,
    'algorithms': lambda: (Entry(name, ALGORITHMS.find(name).summary) for name in ALGORITHMS.names()),
    'checks': lambda: (Entry(name, summary) for name, summary in sanity_checks.available_checks().items())}
