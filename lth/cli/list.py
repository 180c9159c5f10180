"""`lth list`: everything that can be chosen by name."""
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from lth import analysis, recipes
from lth.cli.command import command
from lth.cli.console import print_json
from lth.cli.options import Json
from lth.cli.tables import print_list

if TYPE_CHECKING:
    from lth.recipes.presets import Preset

Kind = Literal[
    'models', 'datasets', 'recipes', 'criteria', 'actions', 'controls', 'initializers', 'algorithms', 'checks']


@command
def list_entries(
        kind: Annotated[Kind, typer.Argument(
            metavar='KIND', show_default=False, help=f'What to list: {", ".join(get_args(Kind))}.')],
        as_json: Json = False) -> None:
    """List everything that can be chosen by name, such as models, data sets and recipes.

    Models can also be given as `torchvision:NAME`, and as your own functions: `package.module:function` or
    `path/to/file.py:function`. Data sets can also be given as `folder:PATH` and as your own functions.

    The second column of the list of recipes says when a recipe is used. `find-ticket` uses the recipe `for` its model
    and data set, or a `fallback` if there is none. A `variant` is used only with `--recipe NAME`. `find-gem` uses
    recipes `for gems`.

    [bold]Examples[/bold]

        lth list models

        lth list recipes
    """

    if kind == 'recipes':
        _list_recipes(as_json=as_json)
        return
    entries = analysis.catalog.entries(kind)
    if as_json:
        output = analysis.json_output.listings
        print_json(output.Listing(kind=kind, entries=[
            output.Entry(name=entry.name, summary=entry.summary) for entry in entries]))
    else:
        print_list(entries)


def _list_recipes(*, as_json: bool) -> None:
    """Print each recipe with its role and the publication that its settings come from."""

    presets = [recipes.presets.preset(name) for name in recipes.presets.names()]
    if as_json:
        output = analysis.json_output.listings
        print_json(output.RecipeListing(kind='recipes', entries=[
            output.RecipeEntry(name=preset.name, summary=preset.source, role=preset.role, model=preset.model,
                               dataset=preset.dataset) for preset in presets]))
    else:
        print_list([(preset.name, _role(preset), preset.source) for preset in presets])


def _role(preset: 'Preset') -> str:
    """What a recipe is for, in a few words."""

    match preset.role:
        case 'default':
            return f'for {preset.model} on {preset.dataset}'
        case 'variant':
            return 'variant'
        case 'gem':
            return f'for gems in {preset.model or "any model"} on {preset.dataset or "any data set"}'
        case 'fallback':
            model = preset.model or f'any {preset.family or "model"}'
            return f'fallback for {model} on {preset.dataset}' if preset.dataset else f'fallback for {model}'
