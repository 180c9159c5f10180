"""`lth find-ticket`: iterative magnitude pruning with rewinding."""
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.options import (
    DatasetName, Datasets, Device, Json, Model, Overrides, Precision, RecipeName, Threads, err, explained, parsed_seeds)
from lth.cli.planning import plan_of
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.plan import Plan


@explained
def find_ticket(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        number_of_iterations: Annotated[int | None, typer.Option(
            '-i', '--number-of-iterations', metavar='N', show_default=False,
            help='Prune N times: rounds 0 (the dense network) to N, each trained and measured.')] = None,
        number_of_epochs: Annotated[int | None, typer.Option(
            '-e', '--number-of-epochs', metavar='N', show_default=False, help='Train each round for N epochs.')] = None,
        batch_size: Annotated[int | None, typer.Option(
            '-b', '--batch-size', show_default=False, metavar='N', help='Pictures in a batch.')] = None,
        learning_rate: Annotated[float | None, typer.Option(
            '-l', '--learning-rate', show_default=False, metavar='RATE', help="The optimizer's learning rate.")] = None,
        seeds: Annotated[str, typer.Option(
            metavar='SEEDS', help='Seeds, such as 0-4 or 0,2,7: each is a search of its own.')] = '0',
        recipe: RecipeName = None,
        override: Overrides = None,
        run: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The run folder: a name below ./runs, or a path; else MODEL-DATASET.')] = None,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
        dry_run: Annotated[bool, typer.Option(
            '--dry-run', help='Print all settings, layers and exact counts; touch neither data nor disk.')] = False,
) -> None:
    """Find lottery tickets: train, prune the smallest weights, rewind the rest, repeat.

    Settings come from the recipe of the model and data set (`--dry-run` shows it complete), then from the options here.
    The same command again resumes a run that was interrupted, by whatever, and adds seeds that are new.

    [bold]Examples[/bold]

        lth find-ticket lenet-300-100 digits

        lth find-ticket lenet-300-100 mnist ./datasets --seeds 0-4

        lth find-ticket conv-2 cifar10 -i 3 -e 2 --run quick

    Rewind to iteration 500 · prune all layers together · prune once instead of step by step · keep a layer out:

        lth find-ticket resnet20 cifar10 --set "algorithm.rewind=500 iterations"

        lth find-ticket conv-2 cifar10 --set algorithm.scope=global --set algorithm.rates=0.2

        lth find-ticket lenet-300-100 mnist --set algorithm.shots=one-shot

        lth find-ticket lenet-300-100 mnist --set algorithm.keep_out='\\[output]'
    """

    numbers = parsed_seeds(seeds)
    plan = plan_of(model, dataset, recipe, {
        'algorithm.rounds': number_of_iterations, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision,
        'training.length': None if number_of_epochs is None else f'{number_of_epochs} epochs'}, override or [], device)
    for remark in plan.remarks:
        err.print(f'Note: {remark}.', highlight=False, soft_wrap=True)
    if dry_run:
        _print_outline(plan, as_json=as_json)
        return
    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth import session  # pylint: disable=import-outside-toplevel
    from lth.cli.display import Display  # pylint: disable=import-outside-toplevel
    from lth.cli.tables import print_run  # pylint: disable=import-outside-toplevel
    place = session.Place(_folder(run, plan), datasets, device, threads)
    with Display(plan, numbers) as display:
        found = session.search(plan, place, numbers, display.announce, display.tell)
    print_run(found, numbers, as_json=as_json)


def _folder(name: str | None, plan: 'Plan') -> Path:
    """The run folder: a bare name lies below ./runs."""

    pair = f'{plan.recipe.model.name}-{plan.recipe.data.name}'
    chosen = re.sub(r'[^\w.-]+', '-', pair) if name is None else name
    if not chosen.strip():
        raise LthError('--run: the name is empty. Give a name below ./runs, or a path.')
    return Path(chosen) if '/' in chosen or chosen in ('.', '..') else Path('runs') / chosen


def _print_outline(plan: 'Plan', *, as_json: bool) -> None:
    """What would be done, all counts included; for people a recipe that can be saved, with the counts as comments."""

    from lth.cli.tables import commented, simple_table  # pylint: disable=import-outside-toplevel # as above
    from lth.files import dumped_yaml  # pylint: disable=import-outside-toplevel # as above
    outline: dict[str, Any] = plan.outline()
    if as_json:
        print(json.dumps(outline, indent=2))
        return
    print(dumped_yaml(outline['recipe']))
    print(commented(simple_table('Layers', ['name', 'shape', 'weights', 'kind', 'pruned'], [
        [layer['name'], '×'.join(map(str, layer['shape'])), f'{layer["weights"]:,}', layer['kind'],
         'yes' if layer['prunable'] else 'no'] for layer in outline['layers']])))
    print(commented(simple_table('Rounds', ['round', 'kept', 'left %'], [
        [str(row['round']), f'{row["kept"]:,}', f'{100 * row["density"]:.2f}'] for row in outline['rounds']])))
    print(f'# A round trains for {outline["iterations"]:,} iterations. {outline["prunable"]:,} of '
          f'{outline["weights"]:,} weights can be pruned;\n# left % counts the others too.')
