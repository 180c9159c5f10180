"""`lth find-gem`: find a subnetwork that is accurate before any of its weights is trained."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.answers import print_answers
from lth.cli.arguments import changes, parse_numbers, read_conversion
from lth.cli.command import command, more_work
from lth.cli.console import print_json, print_message, print_note
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute, run_with_progress
from lth.cli.options import (
    BatchSize, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Margin, Overrides, Precision, RecipeName,
    Restart, RunName)
from lth.cli.ranks import runs_on_ranks
from lth.cli.run_table import print_run
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code
from lth.cli.option_values import number
from lth.errors import LthError
from lth.registry import trust
from lth.runs.run_path import RunPath

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.experiments.run_target import RunTarget
    from lth.experiments.thinning import Keep
    from lth.recipes.rare_gems import Conversion


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def find_gem(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        model: Annotated[str | None, typer.Argument(
            metavar='MODEL', callback=trust.add, show_default=False,
            help='Name of a model, see `lth list models`.')] = None,
        dataset: Annotated[str | None, typer.Argument(
            metavar='DATASET', callback=trust.add, show_default=False,
            help='Name of a data set, see `lth list datasets`.')] = None,
        datasets: Datasets = Path('datasets'),
        *,
        sparsity: Annotated[float | None, typer.Option(
            '--sparsity', parser=number, metavar='PERCENT', show_default=False,
            help='Percentage of the weights to KEEP, as in the Rare Gems paper: 0.59 keeps 59 of 10,000.')] = None,
        density: Annotated[float | None, typer.Option(
            '--density', parser=number, metavar='SHARE', show_default=False,
            help='Share of the weights to keep: --density 0.0059 is the same as --sparsity 0.59.')] = None,
        algorithm: Annotated[str | None, typer.Option(
            '--algorithm', metavar='NAME', show_default=False,
            help='Algorithm that finds the gem. Default: gem-miner. Others that train scores: edge-popup, '
                 'global-edge-popup, hypercube, supermask, gates. Without training: snip, grasp, synflow, fisher, '
                 'hutchinson, hts, prospr, magnitude, smart-ratio, random.')] = None,
        config: Annotated[Path | None, typer.Option(
            '--config', metavar='FILE', show_default=False,
            help='Take the settings from a .yml file of the rare-gems code. MODEL and DATASET are then needed only if '
                 'the file has no arch or dataset; other options replace settings of the file.')] = None,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Annotated[str | None, typer.Option(
            '--seeds', metavar='SEEDS', show_default=False,
            help='Random seeds, such as 0-4 or 0,2,7. Each seed is a separate search. Default: 0, or the seed in the '
                 'file of --config.')] = None,
        finetune: Annotated[bool, typer.Option(
            '--finetune', help='Also train the weights of the gem, as its recipe says.')] = False,
        recipe: RecipeName = None,
        override: Overrides = None,
        run: RunName = None,
        precision: Precision = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Find a rare gem: a subnetwork that is accurate before any of its weights is trained.

    Gem-Miner trains a score for each weight and, step by step, freezes the lowest scores until the requested number of
    weights is left. Repeat the same command to resume an interrupted search.

    [bold]Examples[/bold]

        lth find-gem lenet-300-100 mnist --sparsity 5 --finetune

        lth find-gem resnet20 cifar10 --sparsity 0.59 --dry-run

        lth find-gem conv-2 cifar10 --density 0.05 --algorithm edge-popup

        lth find-gem lenet-300-100 mnist --sparsity 5 --algorithm random --set algorithm.layers=erk

        lth find-gem --config resnet20_quantized_iter_hc.yml
    """

    kept = experiments.gem_plans.gem_density(sparsity, density)
    changed = changes({
        'training.batch_size': batch_size, 'training.optimizer.learning_rate': learning_rate,
        'training.precision': precision}, override, number_of_epochs)
    if config is not None:
        _refuse_with_config(recipe, algorithm)
        conversion = read_conversion(config, model, dataset)
        _print_notes(conversion, config.name, seeds)
        plan = experiments.gem_plans.converted_plan(
            conversion, config.name, changed, model=model, dataset=dataset, density=kept, device=where.device)
        default_seeds, datasets = conversion.seeds, _datasets_of(conversion, datasets)
    elif model is not None and dataset is not None:
        plan = experiments.gem_plans.gem_plan(
            model, dataset, changed, density=kept, algorithm=algorithm, recipe=recipe, device=where.device)
        default_seeds = (0,)
    else:
        raise LthError('Give a MODEL and a DATASET, such as `lth find-gem lenet-300-100 mnist --sparsity 5`, or a file '
                       'of rare-gems settings with --config.')
    numbers = default_seeds if seeds is None else parse_numbers(seeds, '--seeds')
    folder = experiments.folders.run_folder(run, experiments.folders.search_name(plan))
    target = where.target(folder, datasets)
    print_message(_kept_sentence(plan))
    if finetune and not dry_run:
        if restart:
            experiments.restart.set_aside(folder, print_message)
        _find_and_finetune(plan, target, numbers, margin=margin, keep=keep, as_json=as_json)
    else:
        execute(plan, target, numbers, output=Output(as_json, margin), keep=keep, restart=restart, dry_run=dry_run)


def _find_and_finetune(
        plan: 'Plan', target: 'RunTarget', seeds: Sequence[int], *, margin: float, keep: 'Keep', as_json: bool) -> None:
    """Search, then train the gems in RUN-finetuned-round-NN. Print one table for each, or one JSON object."""

    experiments.run_target.refuse_unsupported_finetuning(plan, target)
    found = run_with_progress(plan, experiments.run_target.supported_target(plan, target), seeds)
    if not as_json:
        with more_work():
            print_run(found, seeds, {})
            print_answers([replace(analysis.answers.answer.make_answer(found, seeds), next_commands=[])])
    source = experiments.open_run.SourceRound(plan, found, seeds, len(plan.kept) - 1)
    folder = experiments.folders.derived_folder(RunPath(found.folder), source.number, 'finetuned')
    finetune_plan = experiments.derived_plans.finetune_plan(source, folder)
    finetuned = run_with_progress(finetune_plan, replace(target, folder=folder), seeds)
    answer = analysis.answers.answer.make_answer(finetuned, seeds, margin=margin / 100)
    if as_json:
        answers = [analysis.answers.answer.make_answer(found, seeds), answer]
        print_json(analysis.json_output.runs.run_report(found, seeds, {}, answers, finetuned))
    else:
        print_run(finetuned, seeds, {})
        print_answers([answer])
    experiments.thinning.thin_runs([found], seeds, keep)


def _print_notes(conversion: 'Conversion', origin: str, seeds: str | None) -> None:
    """What a conversion does, and that the seeds of the command line replace that of the file."""

    for note in conversion.notes:
        print_note(note)
    if seeds is not None:
        print_note(f'--seeds replaces the seed of {origin}, {conversion.seeds[0]}')


def _refuse_with_config(recipe: str | None, algorithm: str | None) -> None:
    if recipe is not None or algorithm is not None:
        raise LthError('The file of --config sets the algorithm and all other settings. Leave out --recipe and '
                       '--algorithm, or change single settings with --set.')


def _datasets_of(conversion: 'Conversion', datasets: Path) -> Path:
    """The folder of the data sets: that of the rare-gems file, if it exists and no other folder is given."""

    if conversion.datasets and conversion.datasets.is_dir() and datasets == Path('datasets'):
        return conversion.datasets
    return datasets


def _kept_sentence(plan: 'Plan') -> str:
    """How many weights the gem keeps, in percent and as a number."""

    prunable, kept, settings = plan.network.layout.prunable_count, plan.kept[-1], plan.recipe.algorithm
    at_most = 'at most ' if settings.count_is_limit else ''
    count = len(plan.kept) - 1
    events = f', after {count} {settings.event}{"s" * (count != 1)}' if settings.event else ''
    return f'Keeps {at_most}{kept:,} of {prunable:,} weights ({100 * kept / prunable:.4g}%){events}.'
