"""`lth finetune`: train what was found."""
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lth.cli.arguments import gem_schedule, overridden
from lth.cli.execute import ExecutionOptions, execute, file_name, run_folder
from lth.cli.options import (
    BatchSize, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Overrides, Threads, command)

if TYPE_CHECKING:
    from lth.experiments.derived_runs import SourceRound
    from lth.experiments.plan import Plan

# What an optimizer of another kind starts with: a learning rate that does for most, and SGD its usual momentum.
_OPTIMIZERS: dict[str, dict[str, Any]] = {
    'adam': {'name': 'adam', 'learning_rate': 1e-3}, 'sgd': {'name': 'sgd', 'learning_rate': 0.01, 'momentum': 0.9}}


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

    from lth.experiments import open_run  # pylint: disable=import-outside-toplevel # torch takes 2 s to import
    from lth.experiments.derived_runs import SourceRound  # pylint: disable=import-outside-toplevel # as above
    where = open_run.parse_run_path(run)
    plan, opened = open_run.open_run(where)
    seeds = opened.seeds() if where.seed is None else [where.seed]
    source = SourceRound(plan, opened, seeds, open_run.select_round(plan, opened, seeds, where.round, round_))
    what = 'finetuned' if dataset is None else f'finetuned-{file_name(dataset)}'
    beside = open_run.derived_folder(where, plan, source.number, what)
    folder = beside if to is None else run_folder(to, '')
    options = {'training.optimizer': _OPTIMIZERS[optimizer] if optimizer else None,
               'training.optimizer.learning_rate': learning_rate, 'training.batch_size': batch_size,
               **lengths(source, number_of_epochs)}
    chosen = finetuning(source, folder, options, override or [], dataset)
    way = ExecutionOptions(folder, datasets, ','.join(map(str, seeds)), device, threads, as_json, dry_run, engine)
    execute(chosen, way)


def finetuning(
        source: 'SourceRound', folder: Path, options: dict[str, Any], overrides: list[str], dataset: str | None = None,
) -> 'Plan':
    """The plan of a run in `folder` that trains the source's tickets, on other pictures if a data set is given."""

    from lth.datasets import DATASETS  # pylint: disable=import-outside-toplevel # as above
    from lth.experiments import derived_runs  # pylint: disable=import-outside-toplevel # as above
    from lth.pruning import output_layer  # pylint: disable=import-outside-toplevel # as above
    name = None if dataset is None else DATASETS.canonical(dataset)
    raw = overridden(derived_runs.derived_recipe(source, folder, dataset=name), options, overrides)
    plan = derived_runs.finetune_plan(source, raw, f'{source.run.folder} to be finetuned')
    if anew := output_layer.reinitialized_parameters(source.plan.network, plan.network):
        mask = source.run.load_round(source.run.seeds()[0], source.number).ticket.mask[0]
        raw['algorithm']['kept'] = output_layer.transplanted_count(mask, source.plan.network, plan.network)
        plan = derived_runs.finetune_plan(source, raw, f'{source.run.folder} to be finetuned')
        plan = replace(plan, notes=(*plan.notes, f'classes differ ({source.plan.network.classes} / '
                                      f'{plan.network.classes}), so the output layer is drawn anew, dense: '
                                      f'{", ".join(anew)}'))
    return plan


def lengths(source: 'SourceRound', epochs: int | None) -> dict[str, Any]:
    """The settings that another number of epochs changes: a gem's learning rate drops where the paper's code has it."""

    if epochs is None:
        return {}
    schedule = source.plan.for_round(source.number).recipe.training.schedule
    drops = source.plan.algorithm.finds == 'gems' and schedule.name == 'multistep'
    return {'training.length': f'{epochs} epochs', **({'training.schedule': gem_schedule(epochs)} if drops else {})}
