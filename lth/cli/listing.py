"""`lth list`: what there is to choose from."""
import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth.cli.options import Json, explained, out

if TYPE_CHECKING:
    from lth.datasets import Source

Kind = Literal['models', 'datasets', 'recipes', 'criteria', 'actions', 'algorithms']


@explained
def listing(kind: Annotated[Kind, typer.Argument(help='What to list.')], as_json: Json = False) -> None:
    """List models, data sets, recipes, mask criteria, actions or algorithms.

    [bold]Example[/bold]

        lth list models
    """

    rows = _rows(kind)
    if as_json:
        print(json.dumps([{'name': name, 'summary': summary} for name, summary in rows], indent=2))
        return
    width = max(len(name) for name, _ in rows)
    for name, summary in rows:
        out.print(f'{name:{width}}  {summary}', highlight=False, markup=False, soft_wrap=True)


def _rows(kind: Kind) -> list[tuple[str, str]]:
    """Names and one-line summaries."""

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth import recipes  # pylint: disable=import-outside-toplevel
    from lth.actions import MASK_0_ACTIONS, MASK_1_ACTIONS  # pylint: disable=import-outside-toplevel
    from lth.algorithms import ALGORITHMS  # pylint: disable=import-outside-toplevel
    from lth.criteria import CRITERIA  # pylint: disable=import-outside-toplevel
    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel
    from lth.models import MODELS  # pylint: disable=import-outside-toplevel
    match kind:
        case 'datasets':
            sources = {name: DATASETS.find(name) for name in DATASETS.names()}
            return [(name, _described(source)) for name, source in sources.items()]
        case 'recipes':
            return [(name, str(recipes.find(name)[0].get('source', ''))) for name in recipes.names()]
        case 'algorithms':
            return [(name, ALGORITHMS.find(name).summary) for name in ALGORITHMS.names()]
        case 'actions':
            return [(f'{name} ({registry.kind})', _summary(registry.find(name)))
                    for registry in (MASK_1_ACTIONS, MASK_0_ACTIONS) for name in registry.names()]
        case 'models':
            return [(name, _summary(MODELS.find(name))) for name in MODELS.names()]
        case 'criteria':
            return [(name, _summary(CRITERIA.find(name))) for name in CRITERIA.names()]


def _described(source: 'Source') -> str:
    """A data set in one line."""

    training, test = source.pictures
    shape = '×'.join(map(str, source.shape))
    return f'{source.summary}; {training:,} + {test:,} pictures of {shape} in {source.classes} classes'


def _summary(thing: object) -> str:
    """The first sentence of its docstring."""

    return ' '.join((thing.__doc__ or '').split('\n\n')[0].split())
