"""`lth find-gem`: a subnetwork that is good before any of its weights was trained."""
from pathlib import Path
from typing import Annotated

import typer

from lth.cli.options import (
    BatchSize, DatasetName, Datasets, Device, DryRun, Epochs, Json, LearningRate, Model, Overrides, Precision,
    RecipeName, RunName, Seeds, Threads, err, explained)
from lth.cli.planning import gem_plan_of, gem_schedule
from lth.cli.searching import Way, carried_out
from lth.errors import LthError


@explained
def find_gem(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        sparsity: Annotated[float | None, typer.Option(
            metavar='PERCENT', show_default=False,
            help='Percent of the weights that are KEPT, as in Rare Gems: 0.59 keeps 59 of 10,000.')] = None,
        density: Annotated[float | None, typer.Option(
            metavar='SHARE', show_default=False, help='The same as a share: 0.0059.')] = None,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Seeds = '0',
        recipe: RecipeName = None,
        override: Overrides = None,
        run: RunName = None,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Find a rare gem by Gem-Miner: train scores, not weights; freeze the smallest until the wanted number is left.

    Whole freeze events are kept: the same command again resumes a search that was interrupted, by whatever.

    [bold]Examples[/bold]

        lth find-gem lenet-300-100 mnist --sparsity 5

        lth find-gem resnet20 cifar10 --sparsity 0.59 --dry-run

        lth find-gem resnet20 cifar10 --density 0.0144 --set algorithm.penalty=1e-4
    """

    kept = _share(sparsity, density)
    length = None if number_of_epochs is None else f'{number_of_epochs} epochs'
    plan = gem_plan_of(model, dataset, recipe, {
        'algorithm.density': kept, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision, 'training.length': length,
        'algorithm.finetune.length': length,
        'algorithm.finetune.schedule': None if number_of_epochs is None else gem_schedule(number_of_epochs),
    }, override or [], device)
    settings, prunable = plan.recipe.dump()['algorithm'], plan.network.layout.prunable
    most = 'at most ' if settings['final_mask'] == 'in-force' else ''
    err.print(f'Keeps {most}{100 * plan.kept[-1] / prunable:.4g}% of {prunable:,} weights: {most}{plan.kept[-1]:,}, '
              f'after {len(plan.kept) - 1} freeze events.', highlight=False, soft_wrap=True)
    way = Way(datasets, run, seeds, device, threads, as_json, dry_run)
    carried_out(plan, way, suffix=f'-gem-{100 * settings["density"]:.6g}')


def _share(sparsity: float | None, density: float | None) -> float:
    """The share of the weights that is kept, from the one of the two options that was given."""

    if (sparsity is None) == (density is None):
        raise LthError('Give either --sparsity, the percent of the weights that are kept, such as --sparsity 0.59, or '
                       '--density, the same as a share, such as --density 0.0059.')
    if sparsity is not None and not 0 < sparsity <= 100:
        raise LthError(f'--sparsity {sparsity}: the percent of the weights that are kept lies above 0, at most at 100.')
    if density is not None and not 0 < density <= 1:
        raise LthError(f'--density {density}: the share of the weights that is kept lies above 0, at most at 1.')
    share = density if sparsity is None else float(f'{sparsity!r}e-2')
    assert share is not None
    return share
