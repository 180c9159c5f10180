"""`lth reproduce`: repeat a published figure or table, and compare its claims with what is measured."""
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import analysis, experiments
from lth.analysis.number_text import signed, with_margin
from lth.cli.arguments import parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_message, print_text
from lth.cli.executor_options import LOCAL, ExecutorChoice, accepts_executor
from lth.cli.options import CheckpointEvery, Datasets, Device, DryRun, Json, LogOption, Threads
from lth.cli.progress import ProgressDisplay, duration
from lth.cli.tables import print_table

if TYPE_CHECKING:
    from lth.analysis.reproduction.claims import ClaimResult
    from lth.analysis.reproduction.reproduce import ReproductionPlan, Reproduction
    from lth.analysis.reproduction.tables import TableResult

CLAIM_FAILED = 1


@command
@accepts_executor
def reproduce(  # pylint: disable=too-many-arguments # one parameter per option
        name: Annotated[str, typer.Argument(
            metavar='NAME', show_default=False,
            help='An experiment from `lth list papers`, or a YAML file of the same form.')],
        datasets: Datasets = Path('datasets'),
        *,
        budget: Annotated[Literal['smoke', 'small', 'full'], typer.Option(
            '--budget',
            help='How much of the protocol to repeat. smoke: about a minute, shows only that everything runs; small: '
                 'within an hour; full: as in the paper.')] = 'small',
        seeds: Annotated[str | None, typer.Option(
            '--seeds', metavar='SEEDS', show_default=False,
            help='Random seeds, such as 0-4. Default: as many as the budget says, from 0.')] = None,
        run: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='Folder of the runs: a name in ./runs, or a path. Default: NAME-BUDGET.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        checkpoint_every: CheckpointEvery = None,
        executor: ExecutorChoice = LOCAL,
        log: LogOption = None,
        strict: Annotated[bool, typer.Option(
            '--strict', help='Exit with code 1 if a claim does not agree.')] = False,
        as_json: Json = False,
        dry_run: DryRun = False,
) -> None:
    """Repeat a published figure or table: train its runs, draw its figures, and test what the paper claims.

    Each claim agrees if the 95% interval over seeds lies on the claimed side, does not agree if it lies on the other
    one, and otherwise cannot be told. Repeat the same command to resume; more seeds are added to the runs.

    [bold]Examples[/bold]

        lth reproduce lth-figure-4 --budget smoke

        lth reproduce lth-figure-4 ./datasets --budget full --seeds 0-4

        lth reproduce zhou-criteria --dry-run
    """

    reproduction = analysis.reproduction.reproduce
    plan = reproduction.plan_experiment(name, budget, None if seeds is None else parse_numbers(seeds, '--seeds'))
    folder = reproduction.default_folder(plan) if run is None else experiments.folders.run_folder(run, '')
    output = analysis.json_output.reproductions
    target = experiments.run_target.RunTarget(
        folder, datasets, device, threads, checkpoint_every=checkpoint_every, logs=tuple(parse_names(log) or ()),
        executor=executor.name, executor_settings=executor.settings)
    experiments.metric_logs.require_logs(target.logs)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    if budget == 'full':
        print_message(analysis.reproduction.time_estimate.estimate_sentence(plan, target))
    done = reproduction.reproduce(plan, target, ProgressDisplay, print_message)
    if as_json:
        print_json(output.ReproductionReport.of_reproduction(done))
    else:
        _print_result(done)
    if strict and any(claim.agreement == 'does not agree' for claim in done.claims):
        raise typer.Exit(CLAIM_FAILED)


def _print_plan(plan: 'ReproductionPlan', *, as_json: bool) -> None:
    """Print the runs of the experiment, without running them."""

    planned = analysis.json_output.reproductions.PlannedReproduction.of(plan)
    if as_json:
        print_json(planned)
        return
    print_table(f'{planned.title} ({planned.paper}), budget {planned.budget}', {
        'run': lambda entry: entry.name,
        'command': lambda entry: entry.command,
        'model': lambda entry: entry.model or '',
        'data set': lambda entry: entry.dataset or '',
        'starts from': lambda entry: entry.source or '',
        'controls': lambda entry: ', '.join(f'{count} × {name}' for name, count in entry.controls.items())},
        planned.runs)
    print_text(f'Seeds: {", ".join(map(str, planned.seeds))}')
    _print_scale(plan)


def _print_result(done: 'Reproduction') -> None:
    """Print the tables, the claims, the figures, what was scaled down, and the time it took."""

    experiment = done.plan.experiment
    for table in done.tables:
        _print_methods(table)
    print_table(f'{experiment.title} ({experiment.paper.title}, {experiment.paper.section})', {
        'claim': lambda result: result.claim,
        'section': lambda result: result.section,
        'paper': _published,
        'ours': _ours,
        'verdict': lambda result: result.agreement + (f' ({result.reason})' if result.reason else '')}, done.claims)
    _print_scale(done.plan)
    for figure in done.figures:
        print_line(f'Figure: {figure}')
    print_line(f'Runs: {done.folder}')
    print_line(f'Report: {done.report}')
    print_line(f'All commands that trained these runs took {duration(done.training_seconds)}, this call '
               f'{duration(done.seconds)}.')


def _print_methods(table: 'TableResult') -> None:
    print_table(table.title, {
        'method': lambda row: row.name,
        'kept': lambda row: f'{row.kept:,}',
        'density %': lambda row: f'{100 * row.density:.2f}',
        'test %': lambda row: with_margin(row.accuracy),
        'steps': lambda row: 'unknown' if row.steps is None else f'{row.steps:,}',
        'multiply-adds': lambda row: 'unknown' if row.operations is None else f'{row.operations:.2e}',
        'time': lambda row: duration(row.seconds)}, table.rows)
    print_text('test %: of the last round. steps, multiply-adds, time: of all training of one seed, searches included.')
    if table.missing:
        print_text(f'Failed, and therefore not in the table: {", ".join(table.missing)}.')


def _print_scale(plan: 'ReproductionPlan') -> None:
    if plan.scale:
        print_text(f'Smaller than in the paper: {"; ".join(plan.scale)}.')


def _published(result: 'ClaimResult') -> str:
    if result.published is None:
        return 'no published value at hand'
    return f'{signed(result.published, "g")} {result.unit}'


def _ours(result: 'ClaimResult') -> str:
    if result.ours is None:
        return ''
    return f'{with_margin(result.ours)} {result.unit}'
