"""`lth find-ticket`: find lottery tickets by iterative magnitude pruning with rewinding."""
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes, parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import (
    BatchSize, DatasetName, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Margin, Model, Overrides,
    Precision, RecipeName, Restart, RunName, Seeds)
from lth.cli.ranks import runs_on_ranks
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code
from lth.cli.option_values import whole_number
from lth.registry import trust


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def find_ticket(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        number_of_iterations: Annotated[int | None, typer.Option(
            '-i', '--number-of-iterations', parser=whole_number(), metavar='N', show_default=False,
            help='Prune N times. This gives rounds 0 (the dense network) to N. Each round is trained and measured. A '
                 'complete run can get more rounds.')
        ] = None,
        number_of_epochs: Epochs = None,
        criterion: Annotated[str | None, typer.Option(
            '--criterion', metavar='NAME', callback=trust.add, show_default=False,
            help='Criterion that scores the weights; those with the lowest scores are pruned. See `lth list criteria`. '
                 'Your own function: path/to/file.py:function.')
        ] = None,
        mask_1_action: Annotated[str | None, typer.Option(
            '--mask-1-action', metavar='NAME', show_default=False,
            help='Value from which kept weights start again after pruning, see `lth list actions`.')] = None,
        mask_0_action: Annotated[str | None, typer.Option(
            '--mask-0-action', metavar='NAME', show_default=False,
            help='Value at which pruned weights are frozen, see `lth list actions`.')] = None,
        retrain: Annotated[Literal[
            'weight-rewinding', 'learning-rate-rewinding', 'fine-tuning', 'strategy-2'] | None, typer.Option(
            '--retrain', metavar='NAME', show_default=False,
            help='How a round trains after pruning: weight-rewinding, learning-rate-rewinding, fine-tuning or '
                 'strategy-2.')] = None,
        copies: Annotated[int | None, typer.Option(
            '--copies', parser=whole_number(smallest=1, largest=64), metavar='N', show_default=False,
            help='Train N copies in each round, in different orders of the images; their average is the trained '
                 'network of the round (a soup). Default: 1.')] = None,
        early_bird: Annotated[bool, typer.Option(
            '--early-bird', help='At each measurement of round 0, compare the masks of all rounds with those of the '
                                 'last four measurements; lth early-bird shows the result.')] = False,
        controls: Annotated[str | None, typer.Option(
            '--controls', metavar='NAMES', show_default=False,
            help='Also train these controls, which are as sparse as the tickets, such as reinit,shuffle-mask. See '
                 '`lth list controls`.')] = None,
        control_draws: Annotated[int, typer.Option(
            '--control-draws', parser=whole_number(smallest=1, largest=1_000), metavar='N',
            help='Number of networks of each control for each ticket. Frankle & Carbin 2019 use 3.')] = 1,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Seeds = '0',
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
    """Find lottery tickets: train a network, prune its smallest weights, rewind the rest, and repeat.

    The settings come from the recipe of the model and the data set, which `--dry-run` prints, and from the options.
    Repeat the same command to resume an interrupted run. With more seeds or a larger -i, it adds the new seeds or
    rounds to the run.

    [bold]Examples[/bold]

        lth find-ticket lenet-300-100 digits

        lth find-ticket lenet-300-100 mnist ./datasets --seeds 0-4

        lth find-ticket conv-2 cifar10 -i 3 -e 2 --run quick

    Rewind to iteration 500; prune all layers together; prune only once; never prune the output layer:

        lth find-ticket resnet20 cifar10 --set "algorithm.rewind=500 iterations"

        lth find-ticket conv-2 cifar10 --set algorithm.scope=global --set algorithm.rates=0.2

        lth find-ticket lenet-300-100 mnist --set algorithm.shots=one-shot

        lth find-ticket lenet-300-100 mnist --set algorithm.keep_out='\\[output]'

    Use another criterion; keep only the signs of the weights; keep the trained weights:

        lth find-ticket lenet-300-100 mnist --criterion magnitude-increase

        lth find-ticket lenet-300-100 mnist --mask-1-action constant-keeping-sign --mask-0-action toward-zero

        lth find-ticket resnet20 cifar10 --retrain learning-rate-rewinding

    Train three copies in each round and continue from their average:

        lth find-ticket resnet20 cifar10 --retrain learning-rate-rewinding --copies 3

    Compare the tickets with controls: the same mask with re-initialized weights, and a shuffled mask:

        lth find-ticket lenet-300-100 mnist --seeds 0-4 --controls reinit,shuffle-mask
    """

    changed = changes({
        'algorithm.rounds': number_of_iterations, 'algorithm.criterion': criterion,
        'algorithm.mask_1_action': mask_1_action, 'algorithm.mask_0_action': mask_0_action,
        'algorithm.retrain': retrain, 'algorithm.copies': copies,
        'algorithm.early_bird': 'levels' if early_bird else None, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision},
        override, number_of_epochs)
    plan = experiments.resolve.ticket_plan(model, dataset, changed, recipe=recipe, device=where.device)
    folder = experiments.folders.run_folder(run, experiments.folders.search_name(plan))
    control_plans = experiments.derived_plans.control_plans(
        parse_names(controls) or [], plan, folder, draws=control_draws)
    target = where.target(folder, datasets)
    numbers = parse_numbers(seeds, '--seeds')
    execute(plan, target, numbers, control_plans, output=Output(as_json, margin), keep=keep, restart=restart,
            dry_run=dry_run)
