"""`lth align`: carry the masks of one seed to the initial weights of others, by aligned channels."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.arguments import changes, parse_numbers
from lth.cli.command import command
from lth.cli.console import print_message, print_text
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute, refuse_removed_sources
from lth.cli.options import (
    BatchSize, Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Margin, Overrides, Restart, SourceRun)
from lth.cli.target_options import TargetOptions, accepts_target
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.json_output.runs import RunReport


@command
@accepts_data_dir
@accepts_target
@accepts_trust_code
def align(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds whose masks are carried, such as 5-7. Default: all but the dense round.')] = None,
        number_of_epochs: Epochs = None,
        batch_size: BatchSize = None,
        learning_rate: LearningRate = None,
        override: Overrides = None,
        run_name: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The new run folder. Default: RUN-aligned-from-seed-A-round-NN, where NN is the last of the rounds.',
        )] = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Carry the masks of one seed to the initial weights of the other seeds, with aligned channels (Adnan et al. 2025).

    RUN is a search with two or more seeds. The seed that the path names, by default the first, has the masks. For each
    other seed, the channels of its dense network are matched with those of this one by their activations, and the masks
    are permuted alike. They are trained from the weights of the other seed at the rewind point, next to the masks as
    they are (naive) and the tickets of that seed (own).

    [bold]Examples[/bold]

        lth align lenet-300-100-mnist --rounds 7,14

        lth align vgg11-cifar10/seed-2
    """

    path, plans = parse_run_path(run), experiments.align_plans
    source = plans.open_aligned(path, None if rounds is None else parse_numbers(rounds, '--rounds'))
    folder = plans.aligned_folder(source) if run_name is None else experiments.folders.run_folder(run_name, '')
    changed = changes({'training.optimizer.learning_rate': learning_rate, 'training.batch_size': batch_size},
                      override, number_of_epochs)
    planned = plans.align_plans(source, folder, changed)
    target = where.target(folder, datasets)
    controls = {name: [plan] for name, plan in planned.controls.items()}
    refuse_removed_sources(planned.aligned, target, source.seeds, controls, restart=restart)
    barriers = [] if dry_run else analysis.alignment.measure_barriers(source, target)
    for barrier in barriers:
        print_message(f'{barrier.sentence(source.mask_seed)}.')

    def complete_report(report: 'RunReport') -> 'RunReport':
        rows = analysis.alignment.aligned_rows(source, planned, folder)
        return analysis.json_output.alignments.AlignmentReport.of(report, source.mask_seed, barriers, rows)

    execute(planned.aligned, target, source.seeds, controls, output=Output(as_json, margin, complete_report), keep=keep,
            restart=restart, dry_run=dry_run)
    if not (dry_run or as_json):
        for row in analysis.alignment.aligned_rows(source, planned, folder):
            print_text(f'{row.sentence()}.')
