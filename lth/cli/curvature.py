"""`lth stability --curvature`: the curvature at the trained weights of each round, and the distance to its ticket."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth import analysis, experiments
from lth.cli.console import print_json, print_line, print_note, print_text
from lth.cli.progress import CountDisplay
from lth.cli.tables import number, percent, print_table

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.experiments.run_target import RunTarget
    from lth.runs.folder import Run


def report_curvature(
        plan: 'Plan', run: 'Run', target: 'RunTarget', rounds: Sequence[int] | None, *, images: int, as_json: bool,
) -> None:
    """Measure the curvature of rounds of a run, and print it."""

    curvature = analysis.loss_landscape.curvature
    planned = curvature.plan_curvature(plan, run, rounds, images=images)
    with CountDisplay('rounds') as display:
        results = curvature.measure_curvature(run, target, planned.rounds, display.update)
    measured = list(zip(planned.rounds, results, strict=True))
    rows = curvature.curvature_rows(run, run.seeds(), measured)
    if as_json:
        output = analysis.json_output.curvature
        print_json(output.CurvatureReport.of(run.folder, rows, measured, planned.notes))
        return
    for note in planned.notes:
        print_note(note)
    print_table('The loss around the trained weights, mean ± 95% interval over seeds', {
        'round': lambda row: str(row.round),
        'density %': lambda row: f'{100 * row.density:.2f}',
        'λ max': lambda row: number(row.eigenvalue),
        'trace': lambda row: number(row.trace),
        'distance': lambda row: number(row.distance),
        'relative': lambda row: number(row.relative_distance) if row.relative_distance else '',
        'flipped %': lambda row: percent(row.flips)}, rows)
    print_text(f'λ max, trace: of the Hessian of the loss on {results[0].used_images:,} training images, restricted to '
               'the kept weights. distance: from the ticket to the trained weights; relative: divided by the length of '
               'the ticket. flipped: kept weights whose sign differs between both.')
    print_line(f'Measurements: {experiments.folders.sibling_folder(run.folder, "stability")}')
