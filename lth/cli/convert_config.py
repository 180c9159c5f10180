"""`lth convert-config`: rare-gems settings as a recipe."""
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import experiments
from lth.cli.options import Json, command, err
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.recipes.rare_gems import Conversion
    from lth.system.files import Raw


@command
def convert_config(
        file: Annotated[Path, typer.Argument(
            metavar='FILE', help='A .yml file of rare-gems settings.', show_default=False)],
        as_json: Json = False) -> None:
    """Convert rare-gems settings to a recipe: every setting that decides a result, to be saved and changed.

    What a recipe cannot say is told beside it: keys that are not needed, seeds, the folder of the pictures. What would
    give another result than there is refused, all of it at once.

    [bold]Examples[/bold]

        lth convert-config resnet20_sparsity_0_59.yml

        lth convert-config resnet20_sparsity_0_59.yml > mine.yaml
    """

    # As in planning.py: `--help` must not wait.
    from lth.recipes.rare_gems import convert  # pylint: disable=import-outside-toplevel
    from lth.system.files import dump_yaml, read_yaml  # pylint: disable=import-outside-toplevel
    conversion = convert(read_yaml(file), file.name)
    recipe, notes = _complete(conversion)
    if as_json:
        folder = None if conversion.datasets is None else str(conversion.datasets)
        told = {'recipe': recipe, 'remarks': notes, 'seeds': conversion.seeds, 'datasets': folder}
        print(json.dumps(told, indent=2))
        return
    for note in notes:
        err.print(f'Note: {note}.', highlight=False, markup=False, soft_wrap=True)
    where = '' if conversion.datasets is None else f'; pictures in {conversion.datasets}'
    print(dump_yaml(recipe) + f'# --seeds {",".join(map(str, conversion.seeds))}{where}')


def _complete(conversion: 'Conversion') -> tuple['Raw', list[str]]:
    """The recipe with every setting, and all remarks; as converted, and why, if it cannot be carried out as it is."""

    try:
        plan = experiments.resolve.converted_plan(conversion, conversion.recipe['source'])
    except LthError as error:
        reason = ' '.join(str(error).rstrip('.').split())
        return conversion.recipe, [*conversion.notes, f'this recipe cannot be carried out as it is: {reason}']
    return plan.recipe.dump(), [*conversion.notes, *plan.notes]
