"""`lth sanity-check`: compare a ticket or a gem with versions of it that should be worse."""
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.arguments import changes, parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_message, print_note, print_text
from lth.cli.data_dir import accepts_data_dir
from lth.cli.options import (
    Datasets, DryRun, Epochs, Json, KeepOption, LearningRate, Overrides, Restart, RoundNumber, SourceRun)
from lth.cli.progress import ProgressDisplay
from lth.cli.ranks import runs_on_ranks
from lth.cli.tables import percent, print_table
from lth.cli.target_options import TargetOptions, accepts_target_on_ranks
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.sanity_checks import CheckRun
    from lth.analysis.sanity_report import CheckOutcome, DenseOutcome, SanityReport
    from lth.experiments.open_run import SourceRound


@command
@runs_on_ranks
@accepts_data_dir
@accepts_target_on_ranks
@accepts_trust_code
def sanity_check(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        checks: Annotated[str | None, typer.Option(
            '--checks', metavar='NAMES', show_default=False,
            help='Only these checks, such as reinit,shuffle-mask, see `lth list checks`. Default: all that apply to '
                 'the run.')] = None,
        seeds: Annotated[str | None, typer.Option(
            '--seeds', metavar='SEEDS', show_default=False,
            help='Seeds of the run, such as 0-4. Default: its first three seeds.')] = None,
        round_: RoundNumber = None,
        number_of_epochs: Epochs = None,
        learning_rate: LearningRate = None,
        override: Overrides = None,
        to: Annotated[str | None, typer.Option(
            '--run', metavar='NAME', show_default=False,
            help='The folder of the checks. Default: RUN-checks-round-NN.')] = None,
        keep: KeepOption = 'all',
        restart: Restart = False,
        as_json: Json = False,
        dry_run: DryRun = False,
        where: TargetOptions,
) -> None:
    """Compare a ticket or a gem with versions of it in which one thing is changed, such as a shuffled mask.

    Each check finetunes the changed version exactly like the original: same seeds, data order and settings. Each is a
    run of its own in RUN-checks-round-NN and records how many weights it changed. -e, -l and --set change the
    finetuning of all of them. Repeat the same command to resume.

    [bold]Examples[/bold]

        lth sanity-check lenet-300-100-mnist-gem-5

        lth sanity-check lenet-300-100-mnist/seed-0/round-07 --checks reinit,shuffle-mask

        lth sanity-check resnet20-cifar10-gem-0.59 --seeds 0-4 --dry-run
    """

    path = parse_run_path(run)
    source = analysis.sanity_checks.open_checked(
        path, seeds=None if seeds is None else parse_numbers(seeds, '--seeds'), number=round_)
    named = parse_names(checks)
    names, notes = analysis.sanity_checks.select_checks(named, source)
    default = experiments.folders.derived_folder(path, source.number, 'checks')
    folder = default if to is None else experiments.folders.run_folder(to, '')
    changed = changes({'training.optimizer.learning_rate': learning_rate}, override, number_of_epochs)
    steps, more_notes = analysis.sanity_checks.checks_with_weights(
        list(analysis.sanity_checks.check_runs(source, folder, names, changed)), source.seeds, named=named,
        restart=restart)
    if len(source.seeds) == 1:
        print_note('with one seed there is no confidence interval, so no check can be decided. Add two or more seeds '
                   'with the command of the search, such as --seeds 0-2')
    collapse = experiments.derived_runs.collapse_notes({steps[0].folder: steps[0].plan}, source.seeds)  # the original
    for note in (*notes, *more_notes, *collapse):
        print_note(note)
    target = where.target(folder, datasets)
    experiments.metric_logs.require_logs(target.logs)
    if dry_run:
        _print_steps(steps, source, as_json=as_json)
        return
    if restart:
        experiments.restart.set_aside(folder, print_message)
    report = analysis.run_checks.run_checks(steps, source, target, ProgressDisplay, print_message, keep=keep)
    if as_json:
        print_json(analysis.sanity_report.output(report, source))
    else:
        _print_report(report, source)
        print_line(f'Report: {folder / "checks.json"}')


def _print_steps(steps: Sequence['CheckRun'], source: 'SourceRound', *, as_json: bool) -> None:
    """Print the runs of the checks, without running them."""

    if as_json:
        output = analysis.json_output.checks
        print_json(output.CheckSteps(seeds=list(source.seeds), steps=[
            output.CheckStep(step=step.what, folder=step.folder, kept=step.plan.kept[-1],
                             iterations=step.plan.total_steps) for step in steps]))
        return
    seeds = ', '.join(map(str, source.seeds))
    print_table(f'Steps for each seed ({seeds})', {
        'step': lambda step: step.what,
        'kept': lambda step: f'{step.plan.kept[-1]:,}',
        'iterations': lambda step: f'{step.plan.total_steps:,}'}, steps)


def _print_report(report: 'SanityReport', source: 'SourceRound') -> None:
    """Print the accuracies, what each check changed, and the verdicts."""

    subject = source.subject
    rows: list[CheckOutcome | DenseOutcome] = [*report.checks, report.dense]
    print_table(_caption(source), {
        'check': lambda outcome: outcome.check,
        'test %': lambda outcome: percent(outcome.accuracy),
        'better by': lambda outcome: percent(outcome.comparison.difference),
        'p': lambda outcome: '' if outcome.comparison.p is None else f'{outcome.comparison.p:.2g}',
        'positions': lambda outcome: _mean([change.positions for change in outcome.changes]),
        'values': lambda outcome: _mean([change.weights for change in outcome.changes])},
        rows)
    print_text(f'{subject}: {percent(report.original)} test %. better by: percentage points that the {subject} is '
               'better, paired by seed. p: of a paired t-test, for each check alone. positions: kept weights that the '
               'check prunes. values: kept weights to which the check gives another value. Both are means over seeds.')
    for outcome in report.checks:
        _print_empty_layers(outcome)
    for outcome in report.checks:
        print_text(f'{outcome.check} {analysis.sanity_report.verdict_sentence(outcome, subject)}.')
    print_text(f'{analysis.sanity_report.dense_sentence(report, subject)}.')


def _caption(source: 'SourceRound') -> str:
    recipe, density = source.plan.recipe, source.plan.network.layout.density(source.kept)
    count = len(source.seeds)
    interval = f'mean ± 95% interval over {count} seeds' if count > 1 else 'one seed: no interval'
    return (f'{recipe.model.name} on {recipe.data.name}, {source.subject} with {source.kept:,} weights '
            f'({100 * density:.2f}% kept), {interval}')


def _print_empty_layers(outcome: 'CheckOutcome') -> None:
    layers = sorted({name for change in outcome.changes for name in change.emptied})
    if layers:
        print_note(f'{outcome.check} prunes all weights of {", ".join(layers)} for at least one seed')


def _mean(counts: Sequence[int]) -> str:
    return f'{sum(counts) / len(counts):,.0f}'
