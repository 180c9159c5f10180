"""`lth show run --signs`: how many kept weights change their sign in the training of each round."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lth import analysis
from lth.cli.console import print_json, print_note, print_text
from lth.cli.run_table import run_caption
from lth.cli.tables import percent, print_table
from lth.runs.run_path import RunPath

if TYPE_CHECKING:
    from lth.analysis.sign_flips import SignRow
    from lth.analysis.statistics import Interval

# Columns of the table of layers.
_MOST_ROUNDS = 6


def show_signs(path: RunPath, *, as_json: bool) -> None:
    """Print the sign flips of the run, seed or round at this path, from its files alone."""

    view = analysis.run_view.view_run(path)
    report = analysis.sign_flips.sign_report(view.run, view.seeds, path.round)
    if as_json:
        print_json(analysis.json_output.sign_flips.SignReport.of(view.run.folder, view.seeds, report))
        return
    for note in report.notes:
        print_note(note)
    print_table(f'Signs that training changes: {run_caption(view.run, view.seeds)}', {
        'round': lambda row: str(row.round),
        'density %': lambda row: f'{100 * row.density:.2f}',
        'kept': lambda row: f'{row.kept:,}',
        'flipped %': lambda row: _percent(row.share)}, report.rows)
    print_text('flipped: kept weights whose sign differs between the ticket, before training, and the trained network.')
    _print_deciles(report.rows)
    _print_layers(report.rows)


def _print_deciles(rows: Sequence['SignRow']) -> None:
    """Print a row for each round, with a column for each tenth of the weights."""

    deciles = range(analysis.sign_flips.DECILES)
    columns = {str(index + 1): lambda row, index=index: _mean(row.deciles[index]) for index in deciles}
    print_table('flipped % in each tenth of the kept weights, from the smallest start magnitude to the largest, mean '
                'over seeds', {'round': lambda row: str(row.round), **columns}, rows)


def _print_layers(rows: Sequence['SignRow']) -> None:
    """Print a row for each layer, with a column for each of some rounds."""

    step = max(1, -(-(len(rows) - 1) // (_MOST_ROUNDS - 1)))
    shown = [*rows[:-1:step], rows[-1]]
    columns = {f'round {row.round}': lambda layer, row=row: _mean(row.layers.get(layer)) for row in shown}
    print_table('flipped % in each layer, mean over seeds', {'layer': str, **columns}, rows[0].layers)


def _percent(share: 'Interval | None') -> str:
    return '' if share is None else percent(share)


def _mean(share: 'Interval | None') -> str:
    return '' if share is None else f'{100 * share.mean:.2f}'
