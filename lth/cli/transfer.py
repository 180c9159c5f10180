"""`lth transfer`: train the tickets of a run on another data set, or with another optimizer."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes, parse_numbers
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import (
    BatchSize, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Margin, Overrides, Precision, RecipeName,
    Restart, SourceRun)
from lth.cli.ranks import runs_on_ranks
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code
from lth.registry import trust
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.experiments.plan import Plan


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def transfer(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        to: Annotated[str, typer.Option(
            '--to', metavar='DATASET', callback=trust.add, show_default=False, help='The data set to train on.')],
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds whose tickets are transferred, such as 0,5-7. Default: all rounds.')] = None,
        optimizer: Annotated[Literal['adam', 'sgd'] | None, typer.Option(
            '--optimizer', show_default=False,
            help='Train with another optimizer than the recipe. Give its learning rate too (-l).')] = None,
        carry: Annotated[Literal['weights', 'signs', 'start-signs', 'mask'], typer.Option(
            '--carry', help='What is transferred with the mask: the weights that a ticket starts from; only the signs '
                            'of its trained weights (signs), or of those that it starts from (start-signs), on '
                            'new magnitudes; or nothing else (mask).')] = 'weights',
        random_tickets: Annotated[bool, typer.Option(
            '--random-tickets', help='Also train random tickets of the same densities: the mask is shuffled over the '
                                     'whole network and the weights are re-initialized.')] = False,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        recipe: RecipeName = None,
        override: Overrides = None,
        run_name: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The new run folder. Default: RUN-to-DATASET-round-NN, where NN is the last of the rounds, with the '
                 'names of --optimizer and --carry before the round.')] = None,
        precision: Precision = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Train the tickets of a run on another data set, or with another optimizer (Morcos et al. 2019).

    The mask and the weights that a ticket starts from are transferred, or what --carry says. The output layer is
    re-initialized if the number of classes differs. All other settings come from the recipe of the model and the new
    data set.

    [bold]Examples[/bold]

        lth transfer vgg19-cifar10a --to cifar10b --random-tickets

        lth transfer lenet-300-100-mnist --to fashion-mnist --rounds 0,7,10

        lth transfer resnet20-cifar10 --to cifar10 --optimizer adam -l 3e-4

        lth transfer resnet20-cifar10 --to cifar10 --carry signs
    """

    path = parse_run_path(run)
    source = experiments.open_run.open_source_rounds(
        path, None if rounds is None else parse_numbers(rounds, '--rounds'))
    suffix = experiments.transfer_plans.transfer_suffix(to, optimizer, carry)
    default = experiments.folders.derived_folder(path, max(source.numbers), suffix)
    folder = default if run_name is None else experiments.folders.run_folder(run_name, '')
    changed = changes({
        'training.optimizer.name': optimizer, 'training.optimizer.learning_rate': learning_rate,
        'training.batch_size': batch_size, 'training.precision': precision}, override, number_of_epochs)

    def plan_in(folder: Path, ticket: Literal['found', 'random']) -> 'Plan':
        return experiments.transfer_plans.transfer_plan(
            source, to, folder, changed, ticket=ticket, carry=carry, recipe=recipe, device=where.device)

    controls = {}
    if random_tickets:
        controls = {'random': [plan_in(experiments.folders.control_folder(folder, 'random'), 'random')]}
    target = where.target(folder, datasets)
    execute(plan_in(folder, 'found'), target, source.seeds, controls, output=Output(as_json, margin), keep=keep,
            restart=restart, dry_run=dry_run)
