"""The tables of what `lth stability` and `lth align` measured of a run: pairs of copies, barriers between rounds and
between the dense networks of seeds, and curvature.

To add a table, write a function (view, margin) -> table or None here, and add it to `MEASUREMENT_TABLES`.
"""
from collections.abc import Callable
from typing import TypeVar

from lth.analysis.alignment_files import ALIGNMENTS
from lth.analysis.html_report import cells
from lth.analysis.html_report.cells import EMPTY, Cell, Table, make_table
from lth.analysis.loss_landscape.barrier_files import BARRIERS
from lth.analysis.loss_landscape.barrier_table import BarrierRow, barrier_table
from lth.analysis.loss_landscape.curvature import CurvatureRow, curvature_rows
from lth.analysis.loss_landscape.curvature_files import CURVATURES
from lth.analysis.pair_files import PAIRS
from lth.analysis.run_view import RunView
from lth.analysis.stability_table import STABLE_BARRIER, StabilityRow, stability_rows

# The tables start with a column for the round, by the number that the other tables show.
_Row = TypeVar('_Row', StabilityRow, BarrierRow, CurvatureRow)


def copies_table(view: RunView, _margin: float) -> Table | None:
    """The stability of training from the tickets, None if it was not measured."""

    measured = PAIRS.read_present(view.run, view.seeds)
    if not measured:
        return None
    rows = [row._replace(round=view.run.table_round(row.round)) for row in stability_rows(measured)]
    return make_table('Stability', {
        'round': _round,
        'apart from iteration': lambda row: cells.integer(row.iteration),
        'pairs': lambda row: cells.integer(row.pairs),
        'error %': lambda row: cells.mean_percent(row.error),
        'barrier (points)': lambda row: cells.mean_percent(row.barrier),
        'stable': lambda row: Cell(row.stable),
        'distance': lambda row: cells.mean_number(row.distance),
        'angle °': lambda row: cells.mean_number(row.angle),
        'equal signs %': lambda row: cells.mean_percent(row.signs)}, rows,
        'Two copies of each ticket, trained in different orders from this iteration on. error %: of the copies. '
        'barrier: highest test error on the line between them minus the mean of both ends; below '
        f'{100 * STABLE_BARRIER:g} points training counts as stable.')


def round_barrier_table(view: RunView, margin: float) -> Table | None:
    """The barriers between successive rounds, None if they were not measured."""

    measured = BARRIERS.read_finest(view.run, view.seeds)
    if not measured:
        return None
    found = barrier_table(view.run, view.seeds, measured, margin)
    return make_table('Barriers between rounds', {
        'round': _round,
        'density %': lambda row: cells.percent(row.density),
        'test %': lambda row: cells.mean_percent(row.accuracy),
        'barrier (points)': lambda row: cells.mean_points(row.barrier),
        'pruned, error %': lambda row: cells.mean_percent(row.projected_error),
        'pruning costs (points)': lambda row: cells.mean_points(row.pruning_cost),
        'connected': lambda row: Cell(row.connected),
        'matching': lambda row: Cell(row.matching or ''),
        'agree': lambda row: Cell(row.agrees),
        'seeds': lambda row: cells.integer(row.barrier.n)}, found.rows,
        'The line from the trained weights of the round before to those of the round. barrier: highest test error on '
        f'it minus the mean of both ends; below {100 * STABLE_BARRIER:g} points the rounds count as connected. pruned: '
        'the weights of the round before under the mask of the round, and how much that raises their error. matching: '
        f'the verdict on the round next to the dense network, with a margin of {100 * found.margin:g} points.')


def seed_barrier_table(view: RunView, _margin: float) -> Table | None:
    """The barriers between the dense networks of seeds, None if they were not measured."""

    measured = ALIGNMENTS.read_present(view.run, view.seeds)
    if not measured:
        return None
    return make_table('Barriers between dense networks', {
        'masks of seed': lambda row: cells.integer(row[0].mask_seed),
        'seed': lambda row: cells.integer(row[0].seed),
        'barrier (points)': lambda row: cells.percent(row[1].naive),
        'aligned (points)': lambda row: cells.percent(row[1].aligned)}, measured,
        'barrier: test error at the middle of the line between the dense networks of two seeds minus the mean of both '
        'ends. aligned: with the channels of the first seed in the order of the second.')


def curvature_table(view: RunView, _margin: float) -> Table | None:
    """The curvature at the trained weights, None if it was not measured."""

    measured = CURVATURES.read_finest(view.run, view.seeds)
    if not measured:
        return None
    return make_table('Curvature', {
        'round': _round,
        'density %': lambda row: cells.percent(row.density),
        'largest eigenvalue': lambda row: cells.mean_number(row.eigenvalue),
        'trace': lambda row: cells.mean_number(row.trace),
        'distance': lambda row: cells.mean_number(row.distance),
        'distance / length': lambda row: cells.mean_number(row.relative_distance) if row.relative_distance else EMPTY,
        'flipped signs %': lambda row: cells.mean_percent(row.flips),
        'seeds': lambda row: cells.integer(row.eigenvalue.n)}, curvature_rows(view.run, view.seeds, measured),
        'Of the kept weights. The Hessian is that of the loss on training images, at the trained weights. distance: '
        'from the ticket to the trained weights; length: of the weights of the ticket.')


def _round(row: _Row) -> Cell:
    return Cell(str(row.round), row.round)


# Each makes its table of a run, given the margin of answers (a share of the images).
MEASUREMENT_TABLES: tuple[Callable[[RunView, float], Table | None], ...] = (
    copies_table, round_barrier_table, seed_barrier_table, curvature_table)
