"""`lth sweep`: run a command for each combination of settings in a grid file, and show how far its cells are."""
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import analysis, experiments
from lth.cli.command import command
from lth.cli.console import print_json, print_line, print_note, print_text
from lth.cli.executor_options import LOCAL, ExecutorChoice, accepts_executor
from lth.cli.options import Json
from lth.cli.planned_command import plan_command, refuse_options
from lth.cli.progress import duration
from lth.cli.sweep_progress import SweepDisplay
from lth.cli.tables import print_table
from lth.cli.trust_code import accepts_trust_code
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.analysis.sweep_status import CellStatus
    from lth.experiments.sweeps.cells import PlannedCell
    from lth.experiments.sweeps.estimate import SweepTimes
    from lth.experiments.sweeps.grid_file import CellSettings, GridFile
    from lth.experiments.sweeps.sweep import Sweep

CELLS_FAILED = 1


@command
@accepts_executor
@accepts_trust_code
def sweep(  # pylint: disable=too-many-arguments # one parameter per option
        context: typer.Context,
        action: Annotated[Literal['run', 'status'], typer.Argument(
            metavar='ACTION', show_default=False,
            help='run: train what the cells of a grid file lack; status: show how far the cells of a folder are.')],
        path: Annotated[Path, typer.Argument(
            metavar='PATH', show_default=False, help='For run, the grid file; for status, the folder of the sweep.')],
        *,
        data_dir: Annotated[Path | None, typer.Option(
            '--data-dir', metavar='FOLDER', show_default=False,
            help='The folder of the data sets. Default: as the command in the grid file says.')] = None,
        executor: ExecutorChoice = LOCAL,
        retry: Annotated[bool, typer.Option(
            '--retry', help='Also train the cells that failed in an earlier session.')] = False,
        dry_run: Annotated[bool, typer.Option(
            '--dry-run', help='Print the cells, their number and the estimated time, and stop. Writes no files.'),
        ] = False,
        as_json: Json = False,
) -> None:
    """Run a command for every combination of settings in a grid file: one run folder for each, a cell of the sweep.

    All cells are checked before the first one starts. Repeat the same command to complete what is missing; a cell that
    fails does not stop the others, and is trained again with --retry. The folder of a sweep stands for its runs in lth
    compare, lth plot, lth report and lth export-metrics.

    [bold]Examples[/bold]

        lth sweep run grid.yaml --dry-run

        lth sweep run grid.yaml

        lth sweep status runs/rates

        lth plot runs/rates --figure accuracy

    with this grid.yaml:

        command: find-ticket lenet-300-100 mnist -i 5

        seeds: 0-2

        folder: runs/rates

        grid: {training.optimizer.learning_rate: [1.0e-4, 2.0e-4], training.batch_size: [60, 120]}
    """

    if action == 'status':
        _refuse_run_options(executor, others=retry or dry_run or data_dir is not None)
        _print_status(path, as_json=as_json)
        return
    checked = _checked_sweep(path, context, executor, data_dir)
    if dry_run:
        _print_plan(checked, as_json=as_json)
        return
    missing = checked.missing(retry=retry)
    with SweepDisplay(len(missing), sum(cell.iterations for cell in missing)) as display:
        ended = experiments.sweeps.sweep.run_sweep(checked, display, retry=retry)
    _print_status(checked.folder, as_json=as_json)
    if any(record.state == 'failed' for record in ended):
        raise typer.Exit(CELLS_FAILED)


def _refuse_run_options(executor: ExecutorChoice, *, others: bool) -> None:
    """LthError for options that only `run` has: another executor, or one of the `others`."""

    if executor != LOCAL or others:
        raise LthError('lth sweep status only reads the folder of a sweep. Leave out --executor and its settings, '
                       '--data-dir, --retry and --dry-run.')


def _checked_sweep(path: Path, context: typer.Context, executor: ExecutorChoice, data_dir: Path | None) -> 'Sweep':
    """The sweep of a grid file, with all cells planned. LthError for whatever is wrong with one of them."""

    sweeps = experiments.sweeps
    grid: GridFile = sweeps.grid_file.read_grid(path)
    more = [] if data_dir is None else ['--data-dir', str(data_dir)]
    refuse_options(grid.arguments, context, more)
    folder = experiments.folders.run_folder(os.path.expanduser(grid.folder), '')

    def plan_cell(cell: 'CellSettings') -> 'PlannedCell':
        return plan_command(
            grid.arguments, context, run=os.path.join('.', folder, cell.name), seeds=grid.seed_text,
            settings=cell.settings, executor=executor, more=more)
    cells = sweeps.cells.check_cells(sweeps.grid_file.cell_settings(grid), plan_cell)
    return sweeps.sweep.Sweep(grid, folder, cells)


def _print_plan(checked: 'Sweep', *, as_json: bool) -> None:
    """Print the cells and the estimated time of those that are missing."""

    times: SweepTimes | None = None
    try:
        times = experiments.sweeps.estimate.estimate_times([cell for cell in checked.cells if not cell.is_complete])
    except LthError as error:
        print_note(f'the time is not estimated: {error}')
    planned = analysis.json_output.sweeps.PlannedSweep.of(checked, times)
    if as_json:
        print_json(planned)
        return
    print_table(f'Cells of {planned.folder}', {
        'cell': lambda cell: cell.cell,
        'iterations': lambda cell: f'{cell.iterations:,}',
        'state': lambda cell: cell.state}, planned.cells)
    count = len(planned.cells)
    print_text(f'{count} {"cell" if count == 1 else "cells"}, {planned.missing} not complete.')
    if times and planned.missing:
        print_text(f'Their training takes at most about {duration(times.core_seconds)} on one core of this machine, '
                   f'{duration(times.seconds)} on all: that is the time of dense steps, and pruned networks take less '
                   'on the sparse engine. Measuring and saving are not counted.')


def _print_status(folder: Path, *, as_json: bool) -> None:
    """Print a row for each cell, and why cells failed."""

    folder = analysis.sweep_status.find_sweep(folder)
    cells: list[CellStatus] = analysis.sweep_status.sweep_status(folder)
    report = analysis.json_output.sweeps.SweepReport.of(folder, cells)
    if as_json:
        print_json(report)
        return
    print_table(f'Cells of {folder}', {
        'cell': lambda cell: cell.record.cell,
        'state': lambda cell: cell.state,
        'rounds': _rounds,
        'test %': _accuracy}, cells)
    for cell in cells:
        if cell.reason:
            print_text(f'{cell.record.cell}: {cell.reason}')
    counts = {state: getattr(report, state) for state in ('complete', 'failed', 'running', 'pending')}
    print_line(', '.join(f'{count} {state}' for state, count in counts.items()))
    if report.failed:
        print_text('The same command leaves failed cells alone. To train them again, add --retry to it.')


def _accuracy(cell: 'CellStatus') -> str:
    accuracy = cell.run.test_accuracy if cell.run else None
    return '' if accuracy is None else f'{100 * accuracy:.2f}'


def _rounds(cell: 'CellStatus') -> str:
    """Completed and planned rounds of all seeds, such as 8/12; 8 if no session recorded how many are planned."""

    if cell.run is None:
        return ''
    completed = sum(cell.run.rounds)
    return str(completed) if cell.run.planned is None else f'{completed}/{cell.run.planned * len(cell.record.seeds)}'
