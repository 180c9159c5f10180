"""The table of a run: one row per round, with the rows of its controls below the rounds they belong to."""
import itertools
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lth import analysis
from lth.cli.average_tables import print_averages
from lth.cli.console import out, print_line, print_note, print_text
from lth.cli.tables import Columns, count, fits, percent, print_table

if TYPE_CHECKING:
    from lth.analysis.summary_table import RecordedRun, RoundSummary
    from lth.runs.events_file import MovesRecord

Controls = Mapping[str, Sequence['RecordedRun']]
# Columns that a table with the numbers of connected units needs.
_WIDTH_WITH_CONNECTED = 92


class _Row(NamedTuple):
    label: str
    summary: 'RoundSummary'


def print_run(run: 'RecordedRun', seeds: Sequence[int], controls: Controls, *, with_collapse: bool = True) -> None:
    """Print the table of a run, what its headings mean, and the run folders. Several draws of a control share rows.
    Layers without weights are noted below it, `with_collapse`, if they were not before.
    """

    rows = _rows(run, seeds, controls)
    shown = _parts(run, rows, with_controls=bool(controls))
    print_table(run_caption(run, seeds), _columns(shown), rows)
    print_text(' '.join(part.legend for part in shown))
    _print_unpruned(run, seeds)
    _print_sampled_masks(run, rows[-1].summary)
    _print_selected(run, rows[-1].summary)
    _print_draws(controls)
    print_averages(run, seeds)
    if carried := analysis.summary_table.algorithm_settings(run).carried:
        print_text(f'Transferred: {carried}.')
    for folder in itertools.chain([run], *controls.values()):
        print_line(f'Run folder: {folder.folder}')
    if with_collapse:
        print_collapse(run, seeds)


def print_collapse(run: 'RecordedRun', seeds: Sequence[int], numbers: Collection[int] | None = None) -> None:
    """Note which layers keep no weights in rounds of these seeds, by default in all of them."""

    if note := analysis.summary_table.collapse_note_of(run, seeds, numbers):
        print_note(note)


def run_caption(run: 'RecordedRun', seeds: Sequence[int]) -> str:
    """Model, data set, and what the ± in the table is."""

    pair = f'{run.recipe["model"]["name"]} on {run.recipe["data"]["name"]}'
    if len(seeds) > 1:
        return f'{pair}, mean ± 95% interval over {len(seeds)} seeds'
    return f'{pair}, seed {seeds[0]} (one seed: no interval)'


class _Part(NamedTuple):
    columns: Columns[_Row]
    legend: str


_BASIC = _Part({
    'round': lambda row: row.label,
    'density %': lambda row: f'{100 * row.summary.density:.2f}',
    'kept': lambda row: f'{row.summary.kept:,}',
    'test %': lambda row: percent(row.summary.test_accuracy)},
    'density %: share of all weights that remain.')
_CONNECTED = _Part({
    'inputs': lambda row: _connected(row.summary, 'inputs'),
    'units': lambda row: _connected(row.summary, 'units')},
    'inputs, units: number of input pixels and units that are still connected to the output; pixels that are 0 in '
    'every image do not count.')
_TICKET = _Part({
    'early stop': lambda row: count(row.summary.early_stop),
    'test % at stop': lambda row: percent(row.summary.early_stop_accuracy)},
    'early stop: iteration with the lowest validation loss, determined after training.')
_MOVES = _Part({
    'events': lambda row: _mean_of_moves(row.summary, lambda moves: moves.events, '{:,.0f}'),
    'churn %': lambda row: _mean_of_moves(row.summary, lambda moves: moves.churn, '{:.2%}'),
    'ever active %': lambda row: _mean_of_moves(row.summary, lambda moves: moves.ever_active, '{:.2%}')},
    'events: how often the mask moved in the round; churn %: mean share of the active weights that an event changed; '
    'ever active %: share of all weights that were active at any time.')
_GEM = _Part({}, 'test %: accuracy of the untrained weights above the threshold; in the last round, of the gem.')


def _parts(run: 'RecordedRun', rows: Sequence[_Row], *, with_controls: bool) -> list[_Part]:
    """The parts of the table, without those for which the terminal is too narrow."""

    if analysis.summary_table.algorithm_settings(run).finds == 'gems':
        return [_BASIC, _GEM]
    if any(result.moves for row in rows for result in row.summary.results):
        return [_BASIC, _MOVES]
    parts = [_BASIC, _TICKET] if analysis.summary_table.has_early_stops(run) else [_BASIC]
    # A table with controls, or in 80 columns, has no space left for the numbers of connected units.
    if not with_controls and out.width >= _WIDTH_WITH_CONNECTED and _has_connected(rows):
        parts.insert(1, _CONNECTED)
    return parts if fits(_columns(parts), rows, out.width) else [_BASIC]


def _columns(parts: Sequence[_Part]) -> Columns[_Row]:
    return {heading: cell for part in parts for heading, cell in part.columns.items()}


def _rows(run: 'RecordedRun', seeds: Sequence[int], controls: Controls) -> list[_Row]:
    """The rows of the run, each followed by the rows of the controls for the same round."""

    rows = []
    control_rows = {name: analysis.summary_table.control_rows(draws, seeds) for name, draws in controls.items()}
    for summary in analysis.summary_table.summary_rows([run], seeds):
        rows.append(_Row(str(summary.source_number), summary))
        rows += [_Row(f'{summary.source_number} {name}', summaries[summary.number])
                 for name, summaries in control_rows.items() if summary.number in summaries]
    return rows


def _has_connected(rows: Sequence[_Row]) -> bool:
    return any(result.connected for row in rows for result in row.summary.results)


def _connected(summary: 'RoundSummary', part: str) -> str:
    """Mean number of connected inputs or units over the seeds; empty if it is unknown for one of them."""

    counts = [getattr(result.connected, part) for result in summary.results if result.connected]
    return f'{statistics.mean(counts):,.0f}' if len(counts) == len(summary.results) else ''


def _mean_of_moves(
        summary: 'RoundSummary', value: 'Callable[[MovesRecord], float | None]', form: str) -> str:
    """The mean over the seeds of a value of the moves of their masks; empty if it is unknown for one of them."""

    values = [value(result.moves) for result in summary.results if result.moves]
    known = [number for number in values if number is not None]
    return form.format(statistics.mean(known)).rstrip('%') if known and len(known) == len(summary.results) else ''


def _print_unpruned(run: 'RecordedRun', seeds: Sequence[int]) -> None:
    """Print what no algorithm prunes, if the rounds recorded it."""

    sentence = analysis.summary_table.unpruned_note(run, seeds[0])
    if sentence:
        print_text(f'{sentence[0].upper()}{sentence[1:]}.')


def _print_sampled_masks(run: 'RecordedRun', summary: 'RoundSummary') -> None:
    """Print the accuracy of masks that were sampled from the scores, if the algorithm samples masks."""

    accuracies = [result.drawn_test_accuracy for result in summary.results if result.drawn_test_accuracy is not None]
    if accuracies:
        masks = analysis.summary_table.algorithm_settings(run).sampled_masks
        print_text(f'Masks sampled from the scores, mean of {masks} for each seed: test % '
                   f'{percent(analysis.statistics.confidence_interval(accuracies))}')


def _print_selected(run: 'RecordedRun', summary: 'RoundSummary') -> None:
    """Print how many weights the scores select without the requested number, if rounds record it."""

    counts = [float(result.selected) for result in summary.results if result.selected is not None]
    if counts:
        prunable = run.record(summary.results[0].seed, summary.number).prunable
        mean = analysis.statistics.confidence_interval(counts)
        print_text(f'Weights that the scores select, before the requested number is kept: {count(mean)} of '
                   f'{prunable:,} ({mean.mean / prunable:.2%}).')


def _print_draws(controls: Controls) -> None:
    draws = max(map(len, controls.values()), default=1)
    if draws > 1:
        print_text(f'Controls: the mean over {draws} draws counts as one value per seed.')
