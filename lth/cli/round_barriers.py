"""`lth stability --between-rounds`: is a round connected to the round before it without a barrier?"""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth import analysis, experiments
from lth.cli.console import print_json, print_line, print_note, print_text
from lth.cli.progress import CountDisplay
from lth.cli.tables import percent, print_table

if TYPE_CHECKING:
    from lth.analysis.loss_landscape.barrier_table import BarrierTable
    from lth.experiments.plan import Plan
    from lth.experiments.run_target import RunTarget
    from lth.runs.folder import Run


def report_round_barriers(  # pylint: disable=too-many-arguments # one for each option
        plan: 'Plan', run: 'Run', target: 'RunTarget', rounds: Sequence[int] | None, *,
        points: int, margin: float | None, as_json: bool) -> None:
    """Measure the barriers between successive rounds of a run, and print them. `margin` is in percentage points, by
    default that of the answers of the run.
    """

    landscape = analysis.loss_landscape
    planned = landscape.round_barriers.plan_round_pairs(plan, run, rounds, points=points)
    with CountDisplay('pairs of rounds') as display:
        results = landscape.round_barriers.measure_round_pairs(run, target, planned.pairs, display.update)
    measured = list(zip(planned.pairs, results, strict=True))
    share = analysis.answers.levels.MARGIN if margin is None else margin / 100
    table = landscape.barrier_table.barrier_table(run, run.seeds(), measured, share)
    if as_json:
        print_json(analysis.json_output.round_barriers.BarrierReport.of(run.folder, table, measured, planned.notes))
        return
    for note in planned.notes:
        print_note(note)
    _print_table(table)
    print_line(f'Measurements: {experiments.folders.sibling_folder(run.folder, "stability")}')


def _print_table(table: 'BarrierTable') -> None:
    print_table('The line from each round to the next, mean ± 95% interval over seeds', {
        'rounds': lambda row: f'{row.round - 1}–{row.round}',
        'density %': lambda row: f'{100 * row.density:.2f}',
        'test %': lambda row: percent(row.accuracy),
        'barrier': lambda row: percent(row.barrier),
        'projected error %': lambda row: percent(row.projected_error),
        'connected': lambda row: row.connected,
        'matching': lambda row: row.matching or 'unknown',
        'agree': lambda row: row.agrees}, table.rows)
    print_text('density, test, matching: of the later round. barrier: highest test error on the line minus the mean of '
               'both ends, in points. projected error: of the earlier round after its weights are pruned to the mask '
               'of the later one.')
    for sentence in table.sentences():
        print_text(sentence)
