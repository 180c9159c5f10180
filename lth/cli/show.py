"""`lth show`: one thing complete."""
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.options import Json, command
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.system.files import Raw

_UNNAMED = "\n# A fallback: what it leaves out is the pair's, as in `lth find-ticket MODEL DATASET --recipe FILE`."


@command
def show(
        kind: Annotated[Literal['recipe'], typer.Argument(help='What to show.')],
        name: Annotated[str, typer.Argument(
            metavar='NAME', help='A name from `lth list recipes`, or a YAML file.', show_default=False)],
        as_json: Json = False) -> None:
    """Show a recipe complete: its source and every setting, to be saved, changed and given back with `--recipe`.

    [bold]Examples[/bold]

        lth show recipe resnet20-cifar10

        lth show recipe conv-2-cifar10-dropout > mine.yaml

        lth find-ticket conv-2 cifar10 --recipe mine.yaml
    """

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.recipes import presets  # pylint: disable=import-outside-toplevel
    from lth.system.files import dump_yaml  # pylint: disable=import-outside-toplevel
    found = presets.find(name)
    raw, origin = found.settings, found.origin
    model, dataset = _name(raw, 'model'), _name(raw, 'data')
    if model and dataset:
        recipe = experiments.resolve.ticket_plan(model, dataset, changes({}, []), recipe=name).recipe.dump()
    elif name in presets.names():
        recipe = _fallback(raw, origin)
    else:
        raise LthError(f'{origin} does not name both a model and a data set, and what it leaves out is theirs: '
                       f'`lth find-ticket MODEL DATASET --recipe {name} --dry-run` shows it complete.')
    if as_json:
        print(json.dumps({'name': name, kind: recipe}, indent=2))
        return
    print(dump_yaml(recipe) + ('' if model and dataset else _UNNAMED))


def _fallback(raw: 'Raw', origin: str) -> 'Raw':
    """A recipe complete but for model and data: they lack a name, and are left as they are written."""

    from lth.algorithms import ALGORITHMS  # pylint: disable=import-outside-toplevel # as above
    from lth.recipes.schema import ModelSettings, validate_recipe  # pylint: disable=import-outside-toplevel # as above
    named = {**raw, 'model': {'name': ''}, 'data': {**raw['data'], 'name': ''}}
    settings = ALGORITHMS.find(raw['algorithm']['name']).settings
    complete = validate_recipe(named, origin, model=ModelSettings, algorithm=settings).dump()
    if 'precision' not in raw['training']:
        del complete['training']['precision']  # the device's, where it will be used
    written = complete | {'model': raw.get('model'), 'data': raw['data']}
    return {section: content for section, content in written.items() if content}


def _name(raw: 'Raw', section: str) -> Any:
    """The name in a section, if there is any."""

    content = raw.get(section)
    return content.get('name') if isinstance(content, dict) else None
