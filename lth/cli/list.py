"""`lth list`: what there is to choose from."""
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth.cli.options import Json, command, out

if TYPE_CHECKING:
    from lth.datasets import Source
    from lth.recipes.presets import Preset

Kind = Literal[
    'models', 'datasets', 'recipes', 'criteria', 'actions', 'controls', 'initializers', 'algorithms', 'checks']


@command
def list_entries(kind: Annotated[Kind, typer.Argument(help='What to list.')], as_json: Json = False) -> None:
    """List models, data sets, recipes, mask criteria, actions, controls, initializers, algorithms or sanity checks.

    Models are also `torchvision:NAME` for any classification network of torchvision, and functions of your own as
    `package.module:function` or `path/to/file.py:function`; data sets are also `folder:PATH` and your own functions.

    Recipes: those `for` a model and a data set are what `find-ticket` takes for that pair, a `variant` is taken by name
    with `--recipe`, and a `fallback` serves where there is none for the pair.

    [bold]Examples[/bold]

        lth list models

        lth list recipes
    """

    if kind == 'recipes':
        _list_recipes(as_json=as_json)
        return
    rows = _rows(kind)
    if as_json:
        print(json.dumps([{'name': name, 'summary': summary} for name, summary in rows], indent=2))
        return
    _print_columns(rows)


def _list_recipes(*, as_json: bool) -> None:
    """Recipes with what each is for."""

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.recipes import presets  # pylint: disable=import-outside-toplevel
    entries = [presets.preset(name) for name in presets.names()]
    if as_json:
        print(json.dumps([{'name': entry.name, 'summary': entry.source, 'role': entry.role, 'model': entry.model,
                           'dataset': entry.dataset} for entry in entries], indent=2))
        return
    _print_columns([(entry.name, _use(entry), entry.source) for entry in entries])


def _use(entry: 'Preset') -> str:
    """What a recipe is for, in a few words."""

    match entry.role:
        case 'default':
            return f'for {entry.model} on {entry.dataset}'
        case 'variant':
            return 'variant'
        case 'gem':
            return f'gem in {entry.model or "any model"} on {entry.dataset or "any data set"}'
        case 'fallback':
            model = entry.model or f'any {entry.family or "model"}'
            return f'fallback for {model} on {entry.dataset}' if entry.dataset else f'fallback for {model}'


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows whose columns begin one below the other."""

    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        line = '  '.join(f'{text:{width}}' for text, width in zip(row, widths)).rstrip()
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _rows(
        kind: Literal[
            'models', 'datasets', 'criteria', 'actions', 'controls', 'initializers', 'algorithms', 'checks'],
) -> list[tuple[str, str]]:
    """Names and one-line summaries."""

    # As above.
    from lth.algorithms import ALGORITHMS  # pylint: disable=import-outside-toplevel
    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel
    from lth.models.initializers import INITIALIZERS  # pylint: disable=import-outside-toplevel
    from lth.models.registry import MODELS  # pylint: disable=import-outside-toplevel
    from lth.pruning.controls import available_controls  # pylint: disable=import-outside-toplevel
    from lth.pruning.criteria import CRITERIA  # pylint: disable=import-outside-toplevel
    from lth.pruning.mask_actions import MASK_ACTIONS  # pylint: disable=import-outside-toplevel
    match kind:
        case 'datasets':
            sources = {name: DATASETS.find(name) for name in DATASETS.names()}
            own = [('folder:PATH', 'pictures in subfolders, one a class'),
                   ('FILE.py:FUNCTION', 'a function of your own; or package.module:function')]
            return [(name, _described(source)) for name, source in sources.items()] + own
        case 'algorithms':
            return [(name, ALGORITHMS.find(name).summary) for name in ALGORITHMS.names()]
        case 'actions':
            return [(f'{name} ({registry.kind})', _summary(registry.find(name)))
                    for registry in (MASK_ACTIONS.mask_1, MASK_ACTIONS.mask_0) for name in registry.names()]
        case 'controls':
            return list(available_controls().items())
        case 'models':
            own = [('torchvision:NAME', 'Any classification network of torchvision.models, untrained.'),
                   ('FILE.py:FUNCTION', 'A function (shape, classes) of your own; or package.module:function.')]
            return [(name, _summary(MODELS.find(name))) for name in MODELS.names()] + own
        case 'initializers':
            return [(name, _summary(INITIALIZERS.find(name))) for name in INITIALIZERS.names()] + [
                ('own', "As the model's own code draws them: the default of models that are not lth's.")]
        case 'checks':
            from lth.analysis import sanity_checks  # pylint: disable=import-outside-toplevel # as above
            return list(sanity_checks.available_checks().items())
        case 'criteria':
            return [(name, _summary(CRITERIA.find(name))) for name in CRITERIA.names()]


def _described(source: 'Source') -> str:
    """A data set in one line."""

    training, test = source.image_counts
    shape = '×'.join(map(str, source.shape))
    return f'{source.summary}; {training:,} + {test:,} pictures of {shape} in {source.classes} classes'


def _summary(thing: object) -> str:
    """The first sentence of its docstring."""

    return ' '.join((thing.__doc__ or '').split('\n\n')[0].split())
