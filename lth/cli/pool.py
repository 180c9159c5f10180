"""`lth pool`: interpolate the trained tickets of neighboring rounds, without training."""
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import parse_numbers
from lth.cli.command import command
from lth.cli.data_dir import accepts_data_dir
from lth.cli.execute import Output, execute
from lth.cli.options import Datasets, Deterministic, Device, DryRun, Json, Restart, SourceRun, Threads
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path


@command
@accepts_data_dir
@accepts_trust_code
def pool(  # pylint: disable=too-many-arguments # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds whose tickets are pooled, such as 3 or 1,5-7. Default: all. The rounds that are interpolated '
                 'into them are always all others.')] = None,
        scope: Annotated[Literal['global', 'layer'] | None, typer.Option(
            '--scope', show_default=False,
            help='How pooled weights are pruned to the density of the ticket: global, all layers together; layer, each '
                 'to its number of weights in the ticket. Default: as in the search.')] = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False, help='The new run folder. Default: RUN-pool.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        deterministic: Deterministic = None,
        restart: Restart = False,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Improve the trained tickets of a search by those of its other rounds, without training (Lottery Pools).

    For each ticket, the other rounds are tried in the order of their distance. The trained weights are interpolated in
    eleven ratios, pruned to the density of the ticket, and BatchNorm is estimated again. The best ratio is taken if it
    raises the validation accuracy. The test images decide nothing. The result is a run, RUN-pool.

    [bold]Examples[/bold]

        lth pool lenet-300-100-mnist

        lth pool lenet-300-100-mnist --rounds 5-8 --scope global
    """

    path = parse_run_path(run)
    numbers = None if rounds is None else parse_numbers(rounds, '--rounds')
    source = experiments.open_run.open_source_rounds(path, numbers)
    folder = experiments.pool_plans.pool_folder(path) if to is None else experiments.folders.run_folder(to, '')
    plan = experiments.pool_plans.pool_plan(source, folder, scope=scope)
    target = experiments.run_target.RunTarget(folder, datasets, device, threads, None, deterministic=deterministic)
    execute(plan, target, source.seeds, output=Output(as_json, 0.2), keep='all', restart=restart, dry_run=dry_run)
