"""`lth find-gem`: a subnetwork that is good before any of its weights was trained."""
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.execute import ExecutionOptions, execute, options_for, run_with_progress
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Precision, RecipeName,
    RunName, Threads, command, err, parse_seeds)
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.recipes.rare_gems import Conversion


@command
def find_gem(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        model: Annotated[str | None, typer.Argument(
            metavar='MODEL', help='A model: `lth list models` shows them.', show_default=False)] = None,
        dataset: Annotated[str | None, typer.Argument(
            metavar='DATASET', help='A data set: `lth list datasets` shows them.', show_default=False)] = None,
        datasets: Datasets = Path('datasets'),
        *,
        sparsity: Annotated[float | None, typer.Option(
            metavar='PERCENT', show_default=False,
            help='Percent of the weights that are KEPT, as in Rare Gems: 0.59 keeps 59 of 10,000.')] = None,
        density: Annotated[float | None, typer.Option(
            metavar='SHARE', show_default=False, help='The same as a share: 0.0059.')] = None,
        algorithm: Annotated[str | None, typer.Option(
            metavar='NAME', show_default=False,
            help='gem-miner (if none is given), edge-popup, global-edge-popup, hypercube, supermask; or, training '
                 'nothing: snip, grasp, synflow, magnitude, smart-ratio, random.')] = None,
        config: Annotated[Path | None, typer.Option(
            metavar='FILE', show_default=False,
            help='Settings as rare-gems users have them (.yml); MODEL, DATASET and --sparsity may then be left '
                 'out.')] = None,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Annotated[str | None, typer.Option(
            metavar='SEEDS', show_default=False,
            help='Seeds, such as 0-4 or 0,2,7: each is a search of its own. Else 0, or as --config has it.')] = None,
        finetune: Annotated[bool, typer.Option(
            '--finetune', help='Train what was found, too, as its recipe says.')] = False,
        recipe: RecipeName = None,
        override: Overrides = None,
        run: RunName = None,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        engine: EngineOption = None,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Find a rare gem: a subnetwork that is good before any of its weights was trained, by Gem-Miner or another way.

    Gem-Miner trains scores, not weights, and freezes the smallest until the wanted number is left. What is whole is
    kept, such as freeze events: the same command again resumes a search that was interrupted.

    [bold]Examples[/bold]

        lth find-gem lenet-300-100 mnist --sparsity 5 --finetune

        lth find-gem resnet20 cifar10 --sparsity 0.59 --dry-run

        lth find-gem conv-2 cifar10 --density 0.05 --algorithm edge-popup

        lth find-gem lenet-300-100 mnist --sparsity 5 --algorithm random --set algorithm.layers=erk

        lth find-gem --config resnet20_quantized_iter_hc.yml
    """

    kept = experiments.resolve.gem_density(sparsity, density)
    changed = changes({
        'training.batch_size': batch_size, 'training.optimizer.learning_rate': learning_rate,
        'training.precision': precision}, override, number_of_epochs)
    if config is not None:
        conversion = _conversion(config, algorithm, recipe)
        plan = experiments.resolve.converted_plan(
            conversion, config.name, changed, model=model, dataset=dataset, density=kept, device=device)
        seeds = ','.join(map(str, conversion.seeds)) if seeds is None else seeds
        if conversion.datasets and conversion.datasets.is_dir() and datasets == Path('datasets'):
            datasets = conversion.datasets
    elif model is None or dataset is None:
        raise LthError('Name a MODEL and a DATASET, such as `lth find-gem lenet-300-100 mnist --sparsity 5`, or give a '
                       'file of rare-gems settings with --config.')
    else:
        plan = experiments.resolve.gem_plan(
            model, dataset, changed, density=kept, algorithm=algorithm, recipe=recipe, device=device)
    err.print(_promise(plan), highlight=False, soft_wrap=True)
    folder = experiments.folders.run_folder(run, experiments.folders.search_name(plan))
    way = ExecutionOptions(folder, datasets, seeds or '0', device, threads, as_json, dry_run, engine)
    if finetune and not dry_run:
        _found_and_finetuned(plan, way)
    else:
        execute(plan, way)


def _found_and_finetuned(plan: 'Plan', way: ExecutionOptions) -> None:
    """Both runs, each with its table; for programs one object."""

    from lth.cli.tables import print_run, run_object  # pylint: disable=import-outside-toplevel # as above
    from lth.training.engines import select  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    numbers = parse_seeds(way.seeds)
    if way.engine == 'sparse':
        # Refuses what cannot be, before the search and not behind it.
        training = plan.for_round(len(plan.kept) - 1).recipe.training
        obstacle = select.sparse_obstacle(plan.network, plan.recipe.data, training, streamed=plan.streamed)
        select.select_engine(way.device, choice=way.engine, obstacle=obstacle)
    run = run_with_progress(plan, options_for(plan, way.folder, way))
    if not way.as_json:
        print_run(run, numbers, as_json=False)
    source = experiments.open_run.SourceRound(plan, run, numbers, len(plan.kept) - 1)
    folder = experiments.folders.sibling_folder(run.folder, 'finetuned')
    trained = run_with_progress(experiments.derived_plans.finetune_plan(source, folder), way._replace(folder=folder))
    if way.as_json:
        print(json.dumps({'found': run_object(run, numbers), 'finetuned': run_object(trained, numbers)}, indent=2))
    else:
        print_run(trained, numbers, as_json=False)


def _conversion(config: Path, algorithm: str | None, recipe: str | None) -> 'Conversion':
    """Rare-gems settings as a recipe."""

    from lth.recipes import rare_gems  # pylint: disable=import-outside-toplevel # as above
    from lth.system import files  # pylint: disable=import-outside-toplevel # as above
    if recipe is not None or algorithm is not None:
        raise LthError('--config says the algorithm and every setting: leave out --recipe and --algorithm, and change '
                       'single settings with --set.')
    converted = rare_gems.convert(files.read_yaml(config), config.name)
    for note in converted.notes:
        err.print(f'Note: {note}.', highlight=False, markup=False, soft_wrap=True)
    return converted


def _promise(plan: 'Plan') -> str:
    """What will be kept, in words and with the count."""

    prunable, kept, settings = plan.network.layout.prunable_count, plan.kept[-1], plan.recipe.algorithm
    most = 'at most ' if settings.count_is_limit else ''
    events = f', after {len(plan.kept) - 1} {settings.event}s' if settings.event else ''
    return f'Keeps {most}{100 * kept / prunable:.4g}% of {prunable:,} weights: {most}{kept:,}{events}.'
