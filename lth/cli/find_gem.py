"""`lth find-gem`: a subnetwork that is good before any of its weights was trained."""
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.arguments import Found, gem_plan_of, gem_recipe_of, gem_schedule
from lth.cli.execute import ExecutionOptions, execute, options_for, pair_name, run_folder, run_with_progress
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Precision, RecipeName,
    RunName, Threads, command, err, parse_seeds)
from lth.errors import LthError, suggestion

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

    kept = _share(sparsity, density, needed=config is None)
    name = _algorithm(algorithm)
    if config is not None:
        conversion = _conversion(config, name, recipe)
        found, pair = _configured(conversion, config.name, model, dataset)
        if kept is not None and 'density' not in found[0]['algorithm']:
            raise LthError(f'{config.name} is for {found[0]["algorithm"]["name"]}, which goes by rounds: leave out '
                           '--sparsity and --density, or give --set algorithm.rounds=N.')
        seeds = ','.join(map(str, conversion.seeds)) if seeds is None else seeds
        if conversion.datasets and conversion.datasets.is_dir() and datasets == Path('datasets'):
            datasets = conversion.datasets
    elif model is None or dataset is None:
        raise LthError('Name a MODEL and a DATASET, such as `lth find-gem lenet-300-100 mnist --sparsity 5`, or give a '
                       'file of rare-gems settings with --config.')
    else:
        assert kept is not None
        found, pair = gem_recipe_of(model, dataset, recipe, kept, name), (model, dataset)
    plan = gem_plan_of(found, pair, {
        'algorithm.density': kept, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision,
        **_lengths(found, number_of_epochs)}, override or [], device)
    err.print(_promise(plan), highlight=False, soft_wrap=True)
    folder = run_folder(run, f'{pair_name(plan)}-{_suffix(plan)}')
    way = ExecutionOptions(folder, datasets, seeds or '0', device, threads, as_json, dry_run, engine)
    if finetune and not dry_run:
        _found_and_finetuned(plan, way)
    else:
        execute(plan, way)


def _found_and_finetuned(plan: 'Plan', way: ExecutionOptions) -> None:
    """Both runs, each with its table; for programs one object."""

    from lth.cli.finetune import finetuning  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.tables import print_run, run_object  # pylint: disable=import-outside-toplevel # as above
    from lth.experiments import open_run  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    from lth.experiments.derived_runs import SourceRound  # pylint: disable=import-outside-toplevel # as above
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
    last = len(plan.kept) - 1
    folder = open_run.derived_folder(open_run.RunPath(run.folder, None, None), plan, last, 'finetuned')
    trained = run_with_progress(finetuning(SourceRound(plan, run, numbers, last), folder, {}, []), way._replace(folder=folder))
    if way.as_json:
        print(json.dumps({'found': run_object(run, numbers), 'finetuned': run_object(trained, numbers)}, indent=2))
    else:
        print_run(trained, numbers, as_json=False)


def _share(sparsity: float | None, density: float | None, *, needed: bool) -> float | None:
    """The share of the weights that is kept, from the one of the two options that was given."""

    if (sparsity is None) == (density is None) and (needed or sparsity is not None):
        raise LthError('Give either --sparsity, the percent of the weights that are kept, such as --sparsity 0.59, or '
                       '--density, the same as a share, such as --density 0.0059.')
    if sparsity is not None and not 0 < sparsity <= 100:
        raise LthError(f'--sparsity {sparsity}: the percent of the weights that are kept lies above 0, at most at 100.')
    if density is not None and not 0 < density <= 1:
        raise LthError(f'--density {density}: the share of the weights that is kept lies above 0, at most at 1.')
    return density if sparsity is None else float(Decimal(repr(sparsity)) / 100)


def _algorithm(name: str | None) -> str | None:
    """The algorithm's name as it is registered; `magnitude` is that of the untrained weights here."""

    from lth.algorithms import ALGORITHMS  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    from lth.registry.registry import normalize_name  # pylint: disable=import-outside-toplevel # as above
    if name is None:
        return None
    gems = {normalize_name(known): known for known in ALGORITHMS.names() if ALGORITHMS.find(known).finds == 'gems'}
    gems['magnitude'] = 'magnitude-at-init'
    if normalize_name(name) not in gems:
        raise LthError(f'--algorithm: unknown algorithm {name!r}{suggestion(name, gems.values())}')
    return gems[normalize_name(name)]


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


def _configured(
        conversion: 'Conversion', origin: str, model: str | None, dataset: str | None) -> tuple[Found, tuple[str, str]]:
    """The recipe for the model and data set that were named, or else are its own."""

    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel # as above
    from lth.models.registry import MODELS, settings_class  # pylint: disable=import-outside-toplevel # as above
    from lth.recipes import presets  # pylint: disable=import-outside-toplevel # as above
    raw = dict(conversion.recipe)
    theirs = str(raw['model']['name']), str(raw['data']['name'])
    pair = MODELS.canonical(model or theirs[0]), DATASETS.canonical(dataset or theirs[1])
    if pair[0] != theirs[0]:
        # How weights are drawn goes over to another model, and what it has of the options.
        known = settings_class(pair[0]).model_fields
        raw['model'] = {key: value for key, value in raw['model'].items() if key in known} | {'name': pair[0]}
    if pair[1] != theirs[1]:
        raw['data'] = presets.gem_recipe(*pair, 0.05, 'gem-miner')[0]['data'] | {'name': pair[1]}
    return (raw, origin, None), pair


def _lengths(found: Found, epochs: int | None) -> dict[str, Any]:
    """The settings that another number of epochs changes: of the search, and of the training of what it finds."""

    if epochs is None:
        return {}
    raw = found[0]
    section, training = ('algorithm.finetune', raw['algorithm']['finetune']) if 'finetune' in raw['algorithm'] else (
        'training', raw['training'])
    gem = raw['algorithm']['name'] != 'magnitude' and training.get('schedule', {}).get('name') == 'multistep'
    return {'training.length': f'{epochs} epochs', f'{section}.length': f'{epochs} epochs',
            **({f'{section}.schedule': gem_schedule(epochs)} if gem else {})}


def _promise(plan: 'Plan') -> str:
    """What will be kept, in words and with the count."""

    prunable, kept = plan.network.layout.prunable_count, plan.kept[-1]
    most = 'at most ' if getattr(plan.recipe.algorithm, 'final_mask', '') == 'in-force' else ''
    events = f', after {len(plan.kept) - 1} freeze events' if plan.recipe.algorithm.name == 'gem-miner' else ''
    return f'Keeps {most}{100 * kept / prunable:.4g}% of {prunable:,} weights: {most}{kept:,}{events}.'


def _suffix(plan: 'Plan') -> str:
    """What tells the run folder of a gem from others of the pair."""

    settings = plan.recipe.algorithm
    share = getattr(settings, 'density', plan.kept[-1] / plan.network.layout.prunable_count)
    name = 'gem' if settings.name == 'gem-miner' else settings.name
    return f'{name}-{100 * share:.6g}'
