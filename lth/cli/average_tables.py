"""The tables of rounds whose weights are averages: soups of copies, and pools of rounds."""
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lth import analysis
from lth.cli.console import print_text
from lth.cli.tables import percent, print_table

if TYPE_CHECKING:
    from lth.analysis.averages import PoolRow, SoupRow
    from lth.analysis.summary_table import RecordedRun

_Columns = Mapping[str, Callable[[Any], str]]
_SOUP: _Columns = {
    'round': lambda row: str(row.round), 'density %': lambda row: f'{100 * row.density:.2f}',
    'best copy, test %': lambda row: percent(row.best_copy),
    'mean of copies': lambda row: percent(row.mean_of_copies), 'soup': lambda row: percent(row.soup),
    'soup − best': lambda row: percent(row.over_best), 'soup − mean': lambda row: percent(row.over_mean)}
_POOL: _Columns = {
    'round': lambda row: str(row.round), 'density %': lambda row: f'{100 * row.density:.2f}',
    'rounds added': lambda row: f'{row.members:.3g}', 'before, test %': lambda row: percent(row.before),
    'after': lambda row: percent(row.after), 'gain': lambda row: percent(row.gain),
    'validation gain': lambda row: percent(row.validation_gain)}


def print_averages(run: 'RecordedRun', seeds: Sequence[int]) -> None:
    """Print the table of soups or pools of a run, if it has any."""

    if soups := analysis.averages.soup_rows(run, seeds):
        _print_soups(run, soups)
    if pools := analysis.averages.pool_rows(run, seeds):
        _print_pools(pools)


def _print_soups(run: 'RecordedRun', rows: 'Sequence[SoupRow]') -> None:
    used = '' if all(row.used == row.copies for row in rows) else (
        f' A soup has {sum(row.used for row in rows) / len(rows):.3g} of them on average.')
    print_table(f'Soups of {rows[0].copies} copies', _SOUP, rows)
    print_text('The copies of a round train from the same weights and mask in different orders; their average, with '
               'BatchNorm estimated again, is the soup. best copy: on the validation images. Differences are paired by '
               f'seed.{used} {analysis.summary_table.algorithm_settings(run).soup_sentence}'.rstrip())


def _print_pools(rows: 'Sequence[PoolRow]') -> None:
    print_table('Pooled tickets before and after', _POOL, rows)
    print_text('The trained tickets of other rounds are interpolated into each ticket where that raises the accuracy '
               'on the validation images. rounds added: mean over seeds. Gains are in points, paired by seed.')
