"""`lth find-ticket`: iterative magnitude pruning with rewinding."""
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.execute import ExecutionOptions, execute
from lth.cli.options import (
    BatchSize, DatasetName, Datasets, Device, DryRun, EngineOption, Epochs, Json, LearningRate, Model, Overrides,
    Precision, RecipeName, RunName, Seeds, Threads, command)


@command
def find_ticket(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        number_of_iterations: Annotated[int | None, typer.Option(
            '-i', '--number-of-iterations', metavar='N', show_default=False,
            help='Prune N times: rounds 0 (the dense network) to N, each trained and measured.')] = None,
        number_of_epochs: Epochs = None,
        criterion: Annotated[str | None, typer.Option(
            metavar='NAME', show_default=False, help='What ranks the weights: `lth list criteria`.')] = None,
        mask_1_action: Annotated[str | None, typer.Option(
            '--mask-1-action', metavar='NAME', show_default=False,
            help='Where kept weights start from: `lth list actions`.')] = None,
        mask_0_action: Annotated[str | None, typer.Option(
            '--mask-0-action', metavar='NAME', show_default=False,
            help='What pruned weights are frozen at: `lth list actions`.')] = None,
        retrain: Annotated[Literal[
            'weight-rewinding', 'learning-rate-rewinding', 'fine-tuning', 'strategy-2'] | None, typer.Option(
            show_default=False, help='How a round trains after a prune.')] = None,
        controls: Annotated[str | None, typer.Option(
            metavar='NAMES', show_default=False,
            help='Trained beside the tickets, as sparse as they are, such as reinit,shuffle-mask: `lth list controls`.')
        ] = None,
        control_draws: Annotated[int, typer.Option(
            metavar='N', min=1, help='Networks of each control for each ticket; 3 in Frankle & Carbin 2019.')] = 1,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        seeds: Seeds = '0',
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
    """Find lottery tickets: train, prune the smallest weights, rewind the rest, repeat.

    Settings come from the recipe of the model and data set (`--dry-run` shows it complete), then from the options here.
    The same command again resumes a run that was interrupted, by whatever, and adds seeds that are new.

    [bold]Examples[/bold]

        lth find-ticket lenet-300-100 digits

        lth find-ticket lenet-300-100 mnist ./datasets --seeds 0-4

        lth find-ticket conv-2 cifar10 -i 3 -e 2 --run quick

    Rewind to iteration 500 · prune all layers together · prune once instead of step by step · keep a layer out:

        lth find-ticket resnet20 cifar10 --set "algorithm.rewind=500 iterations"

        lth find-ticket conv-2 cifar10 --set algorithm.scope=global --set algorithm.rates=0.2

        lth find-ticket lenet-300-100 mnist --set algorithm.shots=one-shot

        lth find-ticket lenet-300-100 mnist --set algorithm.keep_out='\\[output]'

    Choose by another criterion · take the signs only · freeze what moved away from zero · keep the trained weights:

        lth find-ticket lenet-300-100 mnist --criterion magnitude-increase

        lth find-ticket lenet-300-100 mnist --mask-1-action constant-keeping-sign --mask-0-action toward-zero

        lth find-ticket resnet20 cifar10 --retrain learning-rate-rewinding

    Tickets beside networks that are just as sparse: the same mask on other weights, other masks on the same weights:

        lth find-ticket lenet-300-100 mnist --seeds 0-4 --controls reinit,shuffle-mask
    """

    changed = changes({
        'algorithm.rounds': number_of_iterations, 'algorithm.criterion': criterion,
        'algorithm.mask_1_action': mask_1_action, 'algorithm.mask_0_action': mask_0_action,
        'algorithm.retrain': retrain, 'training.batch_size': batch_size,
        'training.optimizer.learning_rate': learning_rate, 'training.precision': precision,
        }, override, number_of_epochs)
    plan = experiments.resolve.ticket_plan(model, dataset, changed, recipe=recipe, device=device)
    folder = experiments.folders.run_folder(run, experiments.folders.search_name(plan))
    names = [] if controls is None else controls.split(',')
    control_plans = experiments.derived_plans.control_plans(names, plan, folder, draws=control_draws)
    way = ExecutionOptions(folder, datasets, seeds, device, threads, as_json, dry_run, engine)
    execute(plan, way, control_plans)
