"""`lth train-early-birds`: do tickets that are drawn early train as well as those from the end of training?"""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.command import command
from lth.cli.console import print_text
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import Datasets, DryRun, EarlyBirdThreshold, Json, KeepOption, Margin, Restart, SourceRun
from lth.cli.target_options import TargetOptions, accepts_target
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.json_output.runs import RunReport


@command
@accepts_data_dir
@accepts_target
@accepts_trust_code
def train_early_birds(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        threshold: EarlyBirdThreshold = 0.2,
        run_name: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The new run folder. Default: RUN-early-birds.')] = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        margin: Margin = 0.2,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Train the tickets that early birds draw, next to those from the end of training (You et al. 2020).

    RUN is a search with --early-bird. For each density it compared at which all seeds have an early bird by the
    normalised distance, the dense network of each seed is trained again up to there and pruned, and the ticket is
    trained from the rewind point of the search. The control `end` has masks of the same densities from the end of the
    same training.

    [bold]Examples[/bold]

        lth find-ticket lenet-300-100 mnist --early-bird --run watched

        lth train-early-birds watched
    """

    path, plans = parse_run_path(run), experiments.early_bird_plans
    source = plans.open_watched(path, threshold)
    folder = plans.early_bird_folder(path) if run_name is None else experiments.folders.run_folder(run_name, '')
    planned = plans.early_bird_plans(source, folder)
    target = where.target(folder, datasets)

    def complete_report(report: 'RunReport') -> 'RunReport':
        rows = analysis.early_bird_tickets.early_bird_rows(source, planned, folder)
        return analysis.json_output.early_bird_tickets.EarlyBirdTicketReport.of(report, threshold, rows)

    controls = {name: [plan] for name, plan in planned.controls.items()}
    execute(planned.early, target, source.seeds, controls, output=Output(as_json, margin, complete_report), keep=keep,
            restart=restart, dry_run=dry_run)
    if not (dry_run or as_json):
        for row in analysis.early_bird_tickets.early_bird_rows(source, planned, folder):
            print_text(f'{row.sentence()}.')
