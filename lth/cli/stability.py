"""`lth stability`: is training from a ticket stable to the order of the data?"""
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis, experiments
from lth.cli.arguments import parse_names, parse_numbers
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_message
from lth.cli.curvature import report_curvature
from lth.cli.data_dir import accepts_data_dir
from lth.cli.option_rules import Excludes, Needs, option_rules
from lth.cli.options import Datasets, Deterministic, Device, Json, LogOption, Margin, Restart, Threads
from lth.cli.progress import CountDisplay
from lth.cli.round_barriers import report_round_barriers
from lth.cli.tables import number, percent, print_table
from lth.cli.trust_code import accepts_trust_code
from lth.cli.option_values import whole_number
from lth.errors import LthError
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.pair_files import CopyPair
    from lth.analysis.stability_table import OverlapRow, StabilityRow
    from lth.experiments.run_target import RunTarget
    from lth.runs.folder import Run

# Options that have an effect only on copies that are trained.
_OF_COPIES = ('--part-at', '--pairs', '--log', '--restart')


@command
@accepts_data_dir
@accepts_trust_code
@option_rules(
    Excludes('--between-rounds', ('--curvature', *_OF_COPIES)), Excludes('--curvature', ('--points', *_OF_COPIES)),
    Needs('--margin', '--between-rounds'), Needs('--images', '--curvature'))
def stability(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        run: Annotated[str, typer.Argument(
            metavar='RUN', show_default=False, help='A run: a name in ./runs, or a path.')],
        datasets: Datasets = Path('datasets'),
        *,
        between_rounds: Annotated[bool, typer.Option(
            '--between-rounds',
            help='Measure the barrier between the trained weights of each round and those of the round before it (Paul '
                 'et al. 2022). Trains nothing.')] = False,
        curvature: Annotated[bool, typer.Option(
            '--curvature',
            help='Measure the curvature of the loss at the trained weights of each round, and their distance from the '
                 'ticket. Trains nothing; needs the extra curvature.')] = False,
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds, such as 0,5-7. Default: the first and the last round; with --between-rounds, all after round '
                 '0; with --curvature, all.')] = None,
        part_at: Annotated[str | None, typer.Option(
            '--part-at', metavar='ITERATIONS', show_default=False,
            help='Iterations from which the two copies are trained separately, such as 0,500. Default: the iteration '
                 'at which each ticket starts.')] = None,
        pairs: Annotated[int, typer.Option(
            '--pairs', parser=whole_number(smallest=1, largest=1_000), metavar='N',
            help='Number of pairs of copies for each ticket.')] = 1,
        points: Annotated[int, typer.Option(
            '--points', parser=whole_number(smallest=3, largest=10_000), metavar='N',
            help='Number of points on the line at which the error is measured, including both ends.')] = 30,
        margin: Margin | None = None,
        images: Annotated[int, typer.Option(
            '--images', parser=whole_number(smallest=1, largest=2_000), metavar='N',
            help='Number of training images on which --curvature is measured.')] = 2_000,
        device: Device = 'auto',
        threads: Threads = 1,
        deterministic: Deterministic = None,
        log: LogOption = None,
        restart: Restart = False,
        as_json: Json = False,
) -> None:
    """Measure how stable training from a ticket is to the order of the data (Frankle et al. 2020).

    Two copies of each ticket train on the same data in different orders. The test error is measured on the line
    between their weights. The barrier is the highest error on the line, minus the mean error of both ends. Below 2
    percentage points, training counts as stable; it is undecided if the confidence interval contains 2. Repeat the
    same command to resume; measured pairs are saved.

    With `--between-rounds` the error is measured between the trained weights of successive rounds instead. A round
    should match the dense network if and only if no barrier separates it from the round before (Paul et al. 2022).
    With `--curvature` the Hessian of the loss at the trained weights is measured.

    [bold]Examples[/bold]

        lth stability lenet-300-100-mnist --rounds 0,7

        lth stability resnet20-cifar10 --rounds 0 --part-at 0,500,2000

        lth stability lenet-300-100-mnist --between-rounds

        lth stability lenet-300-100-mnist --curvature
    """

    path = parse_run_path(run)
    if path.seed is not None:
        raise LthError(f'{run} is a part of a run, but stability compares the seeds of a run. Give {path.folder}.')
    plan, opened = experiments.open_run.open_run(path)
    numbers = None if rounds is None else parse_numbers(rounds, '--rounds')
    target = experiments.run_target.RunTarget(
        path.folder, datasets, device, threads, deterministic=deterministic, logs=tuple(parse_names(log) or ()))
    if between_rounds:
        report_round_barriers(plan, opened, target, numbers, points=points, margin=margin, as_json=as_json)
        return
    if curvature:
        report_curvature(plan, opened, target, numbers, images=images, as_json=as_json)
        return
    last = min(opened.round_count(seed) for seed in opened.seeds()) - 1
    numbers = [0, last] if numbers is None else numbers
    iterations = [] if part_at is None else parse_numbers(part_at, '--part-at')
    questions = analysis.mode_connectivity.plan_pairs(
        plan, opened, numbers, iterations, pairs=pairs, points=points, restart=restart)
    experiments.metric_logs.require_logs(target.logs)
    if restart:
        experiments.restart.set_aside(experiments.folders.sibling_folder(path.folder, 'stability'), print_message)
    _report_copies(opened, target, questions, numbers, as_json=as_json)


def _report_copies(
        run: 'Run', target: 'RunTarget', questions: Sequence['CopyPair'], numbers: Sequence[int], *, as_json: bool,
) -> None:
    """Measure the pairs of copies and the masks of these rounds, and print them."""

    with CountDisplay('pairs') as display:
        results = analysis.mode_connectivity.measure_pairs(run, target, questions, display.update, print_message)
    overlaps = list(analysis.mask_overlap.mask_overlaps(run, numbers))
    measured, tables = list(zip(questions, results, strict=True)), analysis.stability_table
    rows, overlap_rows = tables.stability_rows(measured), tables.overlap_rows(overlaps)
    if as_json:
        output = analysis.json_output.stability
        print_json(output.StabilityReport(
            run=run.folder, rows=list(map(output.StabilityRow.of, rows)),
            overlap_rows=list(map(output.OverlapRow.of, overlap_rows)),
            pairs=list(itertools.starmap(output.CopyPair.of, measured)),
            overlaps=list(map(output.MaskOverlap.of, overlaps))))
        return
    _print_rows(rows)
    _print_overlaps(overlap_rows)
    print_line(f'Measurements: {experiments.folders.sibling_folder(run.folder, "stability")}')


def _print_rows(rows: Sequence['StabilityRow']) -> None:
    """Print one row per round and iteration."""

    print_table('Two copies trained in different orders, mean ± 95% interval over pairs', {
        'round': lambda row: str(row.round),
        'apart from': lambda row: f'{row.iteration:,}',
        'pairs': lambda row: str(row.pairs),
        'error %': lambda row: percent(row.error),
        'barrier': lambda row: percent(row.barrier),
        'stable': lambda row: row.stable,
        'distance': lambda row: number(row.distance),
        'angle °': lambda row: number(row.angle),
        'equal signs %': lambda row: percent(row.signs)}, rows)


def _print_overlaps(rows: Sequence['OverlapRow']) -> None:
    """Print how much the masks of different seeds, or of different rounds, have in common."""

    print_table('Weights that both masks keep, as a share of the weights that at least one of them keeps', {
        'between': lambda row: row.between,
        'round': lambda row: ' and '.join(map(str, row.rounds)),
        'pairs': lambda row: str(row.pairs),
        'shared %': lambda row: percent(row.shared),
        'by chance %': lambda row: percent(row.chance)}, rows)
