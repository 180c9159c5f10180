"""`lth transfer`: tickets of one data set trained on another."""
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth.cli.arguments import control_folder, transfer_plan_of
from lth.cli.execute import ExecutionOptions, execute, file_name, run_folder
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Precision, RecipeName,
    Threads, command, parse_seeds)
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.runs.folder import Run


@command
def transfer(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN; a name below ./runs, or a path.')],
        datasets: Datasets = Path('datasets'),
        *,
        to: Annotated[str, typer.Option(metavar='DATASET', show_default=False, help='The data set to train on.')],
        rounds: Annotated[str | None, typer.Option(
            metavar='ROUNDS', show_default=False,
            help='Rounds whose tickets go over, such as 0,5-7; else all.')] = None,
        optimizer: Annotated[Literal['adam', 'sgd'] | None, typer.Option(
            show_default=False,
            help='Another optimizer than the recipe has; it wants a learning rate too (-l).')] = None,
        random_tickets: Annotated[bool, typer.Option(
            '--random-tickets', help='Train random tickets beside them: the mask shuffled over the whole network, '
                                     'weights drawn anew.')] = False,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        recipe: RecipeName = None,
        override: Overrides = None,
        run_name: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The new run folder; else RUN-to-DATASET.')] = None,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        engine: EngineOption = None,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Train the tickets of a run on another data set, or with another optimizer.

    Mask and weights before training go over, the output layer is drawn anew where classes differ; the rest is as the
    recipe of the model and the new data set says, from its first iteration (Morcos et al. 2019).

    [bold]Examples[/bold]

        lth transfer vgg19-cifar10a --to cifar10b --random-tickets

        lth transfer lenet-300-100-mnist --to fashion-mnist --rounds 0,7,10

        lth transfer resnet20-cifar10 --to cifar10 --optimizer adam -l 3e-4
    """

    from lth.experiments import open_run  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    from lth.pruning import output_layer  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    where = open_run.parse_run_path(run)
    plan, source = open_run.open_run(where)
    seeds = source.seeds() if where.seed is None else [where.seed]
    numbers = _numbers(source, seeds, where.round, rounds)
    options = {
        'training.optimizer.name': optimizer, 'training.optimizer.learning_rate': learning_rate,
        'training.batch_size': batch_size, 'training.precision': precision,
        'training.length': None if number_of_epochs is None else f'{number_of_epochs} epochs'}

    def planned(ticket: str, kept: list[int], folder: Path) -> 'Plan':
        settings = {'name': 'transfer', 'keep_out': plan.recipe.dump()['algorithm']['keep_out'], 'ticket': ticket,
                    'source': os.path.relpath(where.folder, folder), 'rounds': numbers, 'kept': kept,
                    'shape': list(plan.network.shape), 'classes': plan.network.classes}
        sections = {'model': plan.recipe.dump()['model'], 'data': {'name': to}, 'algorithm': settings}
        return transfer_plan_of(sections, recipe, options, override or [], device)

    what = f'to-{file_name(to)}' + (f'-{optimizer}' if optimizer else '')
    beside = open_run.derived_folder(where, plan, len(plan.kept) - 1 if where.round is None else where.round, what)
    folder = beside if run_name is None else run_folder(run_name, '')
    target = planned('found', [0] * len(numbers), folder).network
    masks = (source.load_round(seeds[0], number).ticket.mask[0] for number in numbers)
    kept = [output_layer.transplanted_count(mask, plan.network, target) for mask in masks]
    chosen = planned('found', kept, folder)
    way = ExecutionOptions(folder, datasets, ','.join(map(str, seeds)), device, threads, as_json, dry_run, engine)
    controls = {'random': [planned('random', kept, control_folder(folder, 'random'))]} if random_tickets else {}
    execute(chosen, way, controls)


def _numbers(source: 'Run', seeds: list[int], placed: int | None, asked: str | None) -> list[int]:
    """The rounds whose tickets go over: those that all of the seeds have, or some of them."""

    if placed is not None and asked is not None:
        raise LthError(f'--rounds {asked}: the run was given as its round {placed}. Leave one out.')
    whole = min(source.round_count(seed) for seed in seeds)
    numbers = list(range(whole)) if asked is None else parse_seeds(asked, '--rounds')
    numbers = numbers if placed is None else [placed]
    if numbers[-1] >= whole:
        raise LthError(f'--rounds: {source.folder} has no round {numbers[-1]} of all seeds {seeds}: its rounds are 0 … '
                       f'{whole - 1}.')
    return numbers
