"""`lth finetune`: train what was found."""
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.execute import ExecutionOptions, execute
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Threads, command)

@command
def finetune(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN; a name below ./runs, or a path. Without a '
                                'round the last one.')],
        datasets: Datasets = Path('datasets'),
        *,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        optimizer: Annotated[Literal['adam', 'sgd'] | None, typer.Option(
            show_default=False, help='Another optimizer than the recipe has: adam (rate 0.001) or sgd (rate 0.01, '
                                     'momentum 0.9), with -l at another rate.')] = None,
        dataset: Annotated[str | None, typer.Option(
            metavar='DATASET', show_default=False, help='Train on other pictures than those it was found on. Where '
                                                        'their classes differ the output layer is drawn anew.')] = None,
        round_: Annotated[int | None, typer.Option(
            '--round', min=0, metavar='N', show_default=False, help='The round whose ticket is trained.')] = None,
        override: Overrides = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The new run folder; else RUN-finetuned.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        engine: EngineOption = None,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Train a ticket or a gem from its own weights under its mask.

    A gem as its recipe says (algorithm.finetune), a ticket as it was trained when it was found; then the options.

    [bold]Examples[/bold]

        lth finetune lenet-300-100-mnist-gem-5

        lth finetune lenet-300-100-mnist/seed-0/round-07 -e 20

        lth finetune lenet-300-100-mnist-gem-5 --dataset fashion-mnist --optimizer adam
    """

    path = experiments.open_run.parse_run_path(run)
    source = experiments.open_run.open_source(path, number=round_)
    suffix = 'finetuned' if dataset is None else f'finetuned-{experiments.folders.file_name(dataset)}'
    default = experiments.folders.derived_folder(path, source.plan, source.number, suffix)
    folder = default if to is None else experiments.folders.run_folder(to, '')
    changed = changes({'training.optimizer.learning_rate': learning_rate, 'training.batch_size': batch_size},
                      override, number_of_epochs)
    plan = experiments.derived_plans.finetune_plan(source, folder, changed, optimizer=optimizer, dataset=dataset)
    seeds = ','.join(map(str, source.seeds))
    execute(plan, ExecutionOptions(folder, datasets, seeds, device, threads, as_json, dry_run, engine))
