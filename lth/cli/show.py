"""`lth show`: show one recipe with all its settings."""
from typing import Annotated, Literal

import typer

from lth import analysis, experiments
from lth.cli.command import command
from lth.cli.console import print_json, print_raw
from lth.cli.options import Json
from lth.cli.trust_code import accepts_trust_code
from lth.system import files

_FALLBACK = ('\n# A fallback. What is missing here comes from the model and data set, as in\n'
             '# lth find-ticket MODEL DATASET --recipe FILE')


@command
@accepts_trust_code
def show(
        kind: Annotated[Literal['recipe'], typer.Argument(
            metavar='KIND', show_default=False, help='What to show: recipe.')],
        name: Annotated[str, typer.Argument(
            metavar='NAME', show_default=False, help='A name from `lth list recipes`, or a YAML file.')],
        as_json: Json = False) -> None:
    """Show a recipe with all its settings and the publication they come from.

    The output can be saved, changed, and used with `--recipe`.

    [bold]Examples[/bold]

        lth show recipe resnet20-cifar10

        lth show recipe conv-2-cifar10-dropout > mine.yaml

        lth find-ticket conv-2 cifar10 --recipe mine.yaml
    """

    recipe = experiments.complete_recipe.complete_recipe(name)
    if as_json:
        print_json(analysis.json_output.listings.ShownRecipe(name=name, recipe=recipe))
        return
    is_fallback = any('name' not in recipe.get(section, {}) for section in ('model', 'data'))
    print_raw(files.dump_yaml(recipe) + (_FALLBACK if is_fallback else ''))
