"""`lth transfer`: tickets of one data set trained on another."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.execute import ExecutionOptions, execute
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Precision, RecipeName,
    Threads, command, parse_seeds)

if TYPE_CHECKING:
    from lth.experiments.plan import Plan

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

    path = experiments.open_run.parse_run_path(run)
    plan, opened = experiments.open_run.open_run(path)
    seeds = opened.seeds() if path.seed is None else [path.seed]
    numbers = experiments.derived_plans.transfer_rounds(
        opened, seeds, path.round, None if rounds is None else parse_seeds(rounds, '--rounds'))
    source = experiments.derived_plans.SourceRounds(plan, opened, seeds, numbers)
    suffix = f'to-{experiments.folders.file_name(to)}' + (f'-{optimizer}' if optimizer else '')
    last = len(plan.kept) - 1 if path.round is None else path.round
    default = experiments.folders.derived_folder(path, plan, last, suffix)
    folder = default if run_name is None else experiments.folders.run_folder(run_name, '')
    changed = changes({
        'training.optimizer.name': optimizer, 'training.optimizer.learning_rate': learning_rate,
        'training.batch_size': batch_size, 'training.precision': precision}, override, number_of_epochs)

    def planned(ticket: Literal['found', 'random'], place: Path) -> 'Plan':
        return experiments.derived_plans.transfer_plan(
            source, to, place, changed, ticket=ticket, recipe=recipe, device=device)

    way = ExecutionOptions(
        folder, datasets, ','.join(map(str, seeds)), device, threads, as_json, dry_run, engine)
    random = experiments.folders.control_folder(folder, 'random')
    execute(planned('found', folder), way, {'random': [planned('random', random)]} if random_tickets else {})
