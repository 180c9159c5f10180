"""`lth finetune`: train the weights that a ticket or a gem keeps."""
from pathlib import Path
from typing import Annotated

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import (
    BatchSize, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Margin, Optimizer, Overrides, Restart,
    RoundNumber, SourceRun)
from lth.cli.option_values import number_in, whole_number
from lth.cli.ranks import runs_on_ranks
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code
from lth.registry import trust
from lth.runs.run_path import parse_run_path


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def finetune(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        optimizer: Optimizer = None,
        dataset: Annotated[str | None, typer.Option(
            '--dataset', metavar='DATASET', callback=trust.add, show_default=False,
            help='Train on another data set than the search. If it has another number of classes, the output layer is '
                 're-initialized.')] = None,
        cycles: Annotated[int | None, typer.Option(
            '--cycles', parser=whole_number(smallest=1, largest=1_000), metavar='N', show_default=False,
            help='Train N times by the whole learning-rate schedule, each time with a new optimizer. Default: as in '
                 'the search, once.')] = None,
        then_prune: Annotated[float | None, typer.Option(
            '--then-prune', parser=number_in(0, 1), metavar='DENSITY', show_default=False,
            help='Then prune once, by magnitude over all layers, until this share of the weights remains, and train '
                 'for one more cycle (SCULPT).')] = None,
        round_: RoundNumber = None,
        override: Overrides = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The new run folder. Default: RUN-finetuned-round-NN, with the data set and the number of '
                 'cycles if they are given; with --then-prune RUN-sculpted-to-PERCENT-round-NN.')] = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Train a ticket or a gem: start from its weights, and keep its mask.

    A gem is trained as its recipe says (section algorithm.finetune), a ticket as it was trained in the search. The
    options change these settings.

    [bold]Examples[/bold]

        lth finetune lenet-300-100-mnist-gem-5

        lth finetune lenet-300-100-mnist/seed-0/round-07 -e 20

        lth finetune lenet-300-100-mnist-gem-5 --dataset fashion-mnist --optimizer adam

    Train in three cycles; train in cycles, then prune to 5% and train once more:

        lth finetune lenet-300-100-mnist --round 3 --cycles 3

        lth finetune lenet-300-100-mnist --round 3 --cycles 3 --then-prune 0.05
    """

    path = parse_run_path(run)
    source = experiments.open_run.open_source(path, number=round_)
    suffix = experiments.derived_plans.finetune_suffix(dataset, cycles, then_prune)
    default = experiments.folders.derived_folder(path, source.number, suffix)
    folder = default if to is None else experiments.folders.run_folder(to, '')
    changed = changes({'training.optimizer.learning_rate': learning_rate, 'training.batch_size': batch_size,
                       'training.cycles': cycles}, override, number_of_epochs)
    plan = experiments.derived_plans.finetune_plan(
        source, folder, changed, optimizer=optimizer, dataset=dataset, then_prune=then_prune)
    target = where.target(folder, datasets)
    execute(plan, target, source.seeds, output=Output(as_json, margin), keep=keep, restart=restart, dry_run=dry_run)
