"""`lth list`: everything that can be chosen by name, and the runs in a folder."""
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, recipes
from lth.cli.command import command
from lth.cli.console import print_json, print_text
from lth.cli.options import Json
from lth.cli.tables import print_list, print_table
from lth.errors import LthError, quote, suggestion

if TYPE_CHECKING:
    from lth.analysis.run_list import ListedRun
    from lth.recipes.presets import Preset

# Words, and no choice that typer checks: its help would write all of them into a narrow column.
KINDS = (
    'models', 'datasets', 'recipes', 'criteria', 'actions', 'controls', 'initializers', 'algorithms', 'sparse-methods',
    'checks', 'executors', 'figures', 'formats', 'papers', 'runs')


def _completed_kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


@command
def list_entries(
        kind: Annotated[str, typer.Argument(
            metavar='KIND', show_default=False, autocompletion=_completed_kinds,
            help=f'What to list: {", ".join(KINDS)}.')],
        folder: Annotated[Path | None, typer.Argument(
            metavar='FOLDER', show_default=False, help='The folder whose runs are listed. Default: ./runs.')] = None,
        *,
        as_json: Json = False) -> None:
    """List everything that can be chosen by name, such as models, data sets and recipes; or the runs in a folder.

    Models can also be given as `torchvision:NAME` or `timm:NAME`, and as your own functions:
    `package.module:function` or `path/to/file.py:function`. Data sets can also be given as `folder:PATH` and as your
    own functions.

    The second column of the list of recipes says when a recipe is used. `find-ticket` uses the recipe `for` its model
    and data set, or a `fallback` if there is none. A `variant` is used only with `--recipe NAME`. `find-gem` uses
    recipes `for gems`.

    `lth list runs` shows how far each run is, and below it the runs that start from it, such as its controls.

    [bold]Examples[/bold]

        lth list models

        lth list recipes

        lth list runs
    """

    if kind not in KINDS:
        raise LthError(f'Unknown KIND {quote(kind)}{suggestion(kind, KINDS)}')
    if kind == 'runs':
        _list_runs(Path('runs') if folder is None else folder, as_json=as_json)
        return
    if folder is not None:
        raise LthError(f'{quote(str(folder))}: only `lth list runs` takes a folder. Leave it out.')
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


def _list_runs(folder: Path, *, as_json: bool) -> None:
    """Print a row for each run, indented below the run from which it starts, and what is wrong with damaged ones."""

    runs = analysis.run_list.list_runs(folder)
    if as_json:
        print_json(analysis.json_output.run_lists.RunListing.of(folder, runs))
        return
    print_table(f'Runs in {folder}', {
        'run': lambda run: '  ' * run.depth + str(run.folder),
        'model': lambda run: run.model or '',
        'data set': lambda run: run.dataset or '',
        'algorithm': lambda run: run.algorithm or '',
        'seeds': lambda run: _ranges(run.seeds),
        'rounds': _rounds,
        'test %': lambda run: '' if run.test_accuracy is None else f'{100 * run.test_accuracy:.2f}',
        'state': lambda run: run.state}, runs)
    for run in runs:
        if run.detail:
            print_text(f'{run.folder}: {run.state}, {run.detail}')


def _rounds(run: 'ListedRun') -> str:
    """Completed and planned rounds, such as 3/21; 2–3/21 if the seeds differ."""

    if not run.rounds:
        return ''
    least, most = min(run.rounds), max(run.rounds)
    completed = str(least) if least == most else f'{least}–{most}'
    return completed if run.planned is None else f'{completed}/{run.planned}'


def _ranges(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them: 0-4,7."""

    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ','.join(str(part[0]) if len(part) == 1 else f'{part[0]}-{part[-1]}' for part in parts)


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
        case 'default' | 'sparse':
            training = 'sparse training of ' * (preset.role == 'sparse')
            return f'for {training}{preset.model} on {preset.dataset}'
        case 'variant':
            return 'variant'
        case 'gem':
            return f'for gems in {preset.model or "any model"} on {preset.dataset or "any data set"}'
        case 'fallback':
            model = preset.model or f'any {preset.family or "model"}'
            return f'fallback for {model} on {preset.dataset}' if preset.dataset else f'fallback for {model}'
