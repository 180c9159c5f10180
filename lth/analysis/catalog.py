"""Everything that can be chosen by name, each with a one-line summary.

To list another kind, write a function that returns its entries and add it to CATALOG.
"""
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lth.registry.registry import Registry
from lth.system import lazy_import

# Each kind imports what it lists: all together take twice as long as the criteria alone.
if TYPE_CHECKING:
    from lth import algorithms, datasets
    from lth.algorithms.sparse_training import methods
    from lth.analysis import figures, papers, sanity_checks
    from lth.experiments import executors
    from lth.exports import formats
    from lth.models import initializers, registry as models
    from lth.pruning import controls, criteria, mask_actions
else:
    algorithms = lazy_import.module('lth.algorithms')
    methods = lazy_import.module('lth.algorithms.sparse_training.methods')
    datasets = lazy_import.module('lth.datasets')
    figures = lazy_import.module('lth.analysis.figures')
    executors = lazy_import.module('lth.experiments.executors')
    formats = lazy_import.module('lth.exports.formats')
    papers = lazy_import.module('lth.analysis.papers')
    sanity_checks = lazy_import.module('lth.analysis.sanity_checks')
    initializers = lazy_import.module('lth.models.initializers')
    models = lazy_import.module('lth.models.registry')
    controls = lazy_import.module('lth.pruning.controls')
    criteria = lazy_import.module('lth.pruning.criteria')
    mask_actions = lazy_import.module('lth.pruning.mask_actions')


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
    yield from _registered(models.MODELS)
    yield Entry('torchvision:NAME', 'Any classification network of torchvision.models, untrained.')
    yield Entry('timm:NAME', 'Any network of timm, untrained; it needs the extra timm.')
    yield Entry('FILE.py:FUNCTION', 'Your own function (shape, classes) -> nn.Module; or package.module:function.')


def _datasets() -> Iterable[Entry]:
    for name in datasets.DATASETS.names():
        source = datasets.DATASETS.find(name)
        training, test = source.image_counts
        shape = '×'.join(map(str, source.shape))
        yield Entry(name, f'{source.summary}; {training:,} training and {test:,} test images of {shape}, '
                          f'{source.classes} classes')
    yield Entry('folder:PATH', 'images in subfolders, one for each class')
    yield Entry('FILE.py:FUNCTION', 'your own function; or package.module:function')


def _initializers() -> Iterable[Entry]:
    yield from _registered(initializers.INITIALIZERS)
    yield Entry('own', "The initialization in the model's own code; the default of models that are not part of lth.")


def _algorithms() -> Iterable[Entry]:
    for name in algorithms.ALGORITHMS.names():
        yield Entry(name, algorithms.ALGORITHMS.find(name).summary)


def _methods() -> Iterable[Entry]:
    for name in methods.METHODS.names():
        yield Entry(name, methods.METHODS.find(name).summary)


def _papers() -> Iterable[Entry]:
    for name in papers.experiment_names():
        experiment = papers.find_experiment(name)
        yield Entry(name, f'{experiment.title} ({experiment.paper.title}, {experiment.paper.section})')


CATALOG: Mapping[str, Callable[[], Iterable[Entry]]] = {
    'models': _models,
    'datasets': _datasets,
    'criteria': lambda: _registered(criteria.CRITERIA),
    'actions': lambda: _registered(mask_actions.MASK_ACTIONS.mask_1, mask_actions.MASK_ACTIONS.mask_0),
    'controls': lambda: (Entry(name, summary) for name, summary in controls.available_controls().items()),
    'initializers': _initializers,
    'algorithms': _algorithms,
    'sparse-methods': _methods,
    'executors': lambda: _registered(executors.EXECUTORS),
    'figures': lambda: _registered(figures.FIGURES),
    'formats': lambda: _registered(formats.EXPORT_FORMATS),
    'papers': _papers,
    'checks': lambda: (Entry(name, summary) for name, summary in sanity_checks.available_checks().items())}
