"""`lth convert-config`: convert a file of rare-gems settings to a recipe."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.arguments import read_conversion
from lth.cli.command import command
from lth.cli.console import print_json, print_note, print_raw
from lth.cli.options import Json
from lth.cli.trust_code import accepts_trust_code
from lth.errors import LthError
from lth.system import yaml_text

if TYPE_CHECKING:
    from lth.recipes.rare_gems import Conversion
    from lth.system.yaml_text import Raw


@command
@accepts_trust_code
def convert_config(
        file: Annotated[Path, typer.Argument(
            metavar='FILE', show_default=False, help='A .yml file with settings of the rare-gems code.')],
        as_json: Json = False) -> None:
    """Convert settings of the rare-gems code to a recipe, which can be saved, changed and used with `--recipe`.

    Notes say what a recipe does not contain: keys that are not needed, the seeds, and the folder of the images. A
    setting whose effect lth cannot reproduce is an error; all such errors are reported together.

    [bold]Examples[/bold]

        lth convert-config resnet20_sparsity_0_59.yml

        lth convert-config resnet20_sparsity_0_59.yml > mine.yaml
    """

    conversion = read_conversion(file)
    recipe, notes = _validate(conversion)
    if as_json:
        print_json(analysis.json_output.listings.ConvertedRecipe(
            recipe=recipe, notes=notes, seeds=list(conversion.seeds), datasets=conversion.datasets))
        return
    for note in notes:
        print_note(note)
    images = '' if conversion.datasets is None else f'; images in {conversion.datasets}'
    print_raw(yaml_text.dump_yaml(recipe) + f'# --seeds {",".join(map(str, conversion.seeds))}{images}')


def _validate(conversion: 'Conversion') -> tuple['Raw', list[str]]:
    """The recipe with all settings, and the notes. A recipe that cannot be run is returned as it was converted."""

    try:
        plan = experiments.gem_plans.converted_plan(conversion, conversion.recipe['source'])
    except LthError as error:
        reason = ' '.join(str(error).split())
        return conversion.recipe, [*conversion.notes, f'this recipe cannot be run without changes: {reason}']
    return plan.recipe.dump(), [*conversion.notes, *plan.notes]
