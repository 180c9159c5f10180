"""`lth train-sparse`: train a network that is sparse from the start, or becomes sparse while it is trained."""
from pathlib import Path
from typing import Annotated

import typer

from lth import experiments
from lth.cli.arguments import changes, parse_numbers
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.option_values import number
from lth.cli.options import (
    BatchSize, DatasetName, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Model, Overrides, Precision,
    RecipeName, Restart, RunName, Seeds)
from lth.cli.ranks import runs_on_ranks
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def train_sparse(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        method: Annotated[str | None, typer.Option(
            '--method', metavar='NAME', show_default=False,
            help='How the mask moves: static, set, rigl, gmp, one-cycle, ac-dc or granet, see `lth list '
                 'sparse-methods`. Default: that of the recipe, rigl.')] = None,
        density: Annotated[float | None, typer.Option(
            '--density', parser=number, metavar='SHARE', show_default=False,
            help='Share of the weights that are active at the end, such as 0.1.')] = None,
        layers: Annotated[str | None, typer.Option(
            '--layers', metavar='NAME', show_default=False,
            help='How a random first mask distributes its weights over the layers: erk, uniform, balanced or '
                 'smart-ratio. Default: that of the recipe, erk.')] = None,
        update_every: Annotated[str | None, typer.Option(
            '--update-every', metavar='LENGTH', show_default=False,
            help="How often the mask moves, such as '100 iterations' or '1 epoch'. Default: that of the recipe or of "
                 'the method.')] = None,
        drop_fraction: Annotated[float | None, typer.Option(
            '--drop-fraction', parser=number, metavar='SHARE', show_default=False,
            help='Share of the active weights of a layer that the first event replaces, for set, rigl and granet. '
                 'Default: that of the method, 0.3 or 0.5.')] = None,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Seeds = '0',
        recipe: RecipeName = None,
        override: Overrides = None,
        run: RunName = None,
        precision: Precision = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Train a sparse network: its mask moves while it is trained, and one training is enough.

    static, set and rigl train as few weights as are left at the end from the start. gmp, one-cycle, ac-dc and granet
    start with all weights. The run has a round for every tenth of the training. Repeat the same command to resume an
    interrupted run.

    [bold]Examples[/bold]

        lth train-sparse lenet-300-100 digits --density 0.05

        lth train-sparse lenet-300-100 mnist --method set --density 0.02 --update-every "500 iterations"

        lth train-sparse resnet20 cifar10 --method gmp --density 0.1 --seeds 0-2

        lth train-sparse lenet-300-100 mnist --method rigl --density 0.01 --layers uniform --drop-fraction 0.2

        lth train-sparse lenet-300-100 mnist --method ac-dc --density 0.1 --set "algorithm.update_until=80 epochs"

    Restart from the mask that was found, with the initial weights; see how the mask moved:

        lth finetune lenet-300-100-digits-rigl-5

        lth plot lenet-300-100-digits-rigl-5 --figure mask-churn
    """

    changed = changes({
        'algorithm.layers': layers, 'algorithm.update_every': _length(update_every),
        'algorithm.drop_fraction': drop_fraction, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision},
        override, number_of_epochs)
    plan = experiments.resolve.sparse_plan(
        model, dataset, changed, density=density, method=method, recipe=recipe, device=where.device)
    target = where.target(
        experiments.folders.run_folder(run, experiments.folders.search_name(plan)), datasets)
    execute(plan, target, parse_numbers(seeds, '--seeds'), output=Output(as_json, 0.2), keep=keep, restart=restart,
            dry_run=dry_run)


def _length(text: str | None) -> str | None:
    """A number alone counts iterations."""

    return f'{text.strip()} iterations' if text is not None and text.strip().isdecimal() else text
