"""The tables of one run: its rounds with their controls, each seed, the layers of the last round, and sanity checks."""
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lth.analysis.answers.answer import Answer
from lth.analysis.answers.levels import Level
from lth.analysis.answers.search import SearchAnswer
from lth.analysis.checks_file import StoredCheck, StoredInterval, StoredOriginal, StoredReport
from lth.analysis.html_report import cells
from lth.analysis.html_report.cells import EMPTY, Cell, Table, make_table
from lth.analysis.operation_counts import LayerOperations
from lth.analysis.run_view import RunView
from lth.analysis.statistics import Interval
from lth.analysis.summary_table import (
    RecordedRun, RoundResult, RoundSummary, algorithm_settings, control_rows, has_early_stops, summary_rows)
from lth.runs.round_record import LayerRecord


class _Row(NamedTuple):
    """A round of the run or of a control, and how it compares with the dense network."""

    network: str
    summary: RoundSummary
    level: Level | None = None


class _SeedRow(NamedTuple):
    row: _Row
    result: RoundResult


class _LayerRow(NamedTuple):
    """A layer in one round, with its record of each seed."""

    records: Sequence[LayerRecord]

    @property
    def first(self) -> LayerRecord:
        """The record of the first seed."""

        return self.records[0]

    @property
    def kept(self) -> float:
        """Mean number of kept weights."""

        return statistics.mean(record.kept for record in self.records)


def run_tables(view: RunView, answer: Answer) -> list[Table]:
    """The tables of a run: rounds, seeds, layers."""

    rows = list(_rows(view, answer))
    tables = [_round_table(view.run, rows, answer), _seed_table(view.run, rows), _layer_table(view)]
    return [table for table in tables if table.rows]


def check_table(report: StoredReport) -> Table:
    """The sanity checks of a round."""

    rows: list[tuple[str, StoredOriginal | StoredCheck]] = [
        ('original', report.original), ('dense', report.dense), *((check.check, check) for check in report.checks)]
    return make_table(f'Sanity checks of round {report.round}', {
        'network': lambda row: Cell(row[0]),
        'test %': lambda row: cells.mean_percent(_share(row[1].accuracy_percent)),
        'original − network (points)': lambda row: _difference(row[1]),
        'p': lambda row: _p_value(row[1]),
        'verdict': lambda row: Cell(getattr(row[1], 'verdict', None) or '')}, rows,
        'All networks were finetuned in the same way. p: of a paired t-test over seeds.')


_NOUNS = {'gems': 'gem', 'sparse networks': 'sparse network'}


def _rows(view: RunView, answer: Answer) -> Iterator[_Row]:
    """Each round of the run, followed by its controls."""

    levels: Mapping[int, Level] = {}
    if isinstance(answer.found, SearchAnswer):
        levels = {level.number: level for level in answer.found.levels}
    controls = {name: control_rows(draws, view.seeds) for name, draws in view.controls.items()}
    noun = _NOUNS.get(algorithm_settings(view.run).finds, 'ticket')
    for summary in summary_rows([view.run], view.seeds):
        name = 'dense' if summary.density == 1 else noun
        yield _Row(name, summary, levels.get(summary.source_number))
        yield from (_Row(control, summaries[summary.number])
                    for control, summaries in controls.items() if summary.number in summaries)


def _round_table(run: RecordedRun, rows: Sequence[_Row], answer: Answer) -> Table:
    stops = has_early_stops(run)
    explanation = 'density %: share of all weights that remain. ±: 95% confidence interval over seeds.'
    if stops:
        explanation += ' early stop: iteration of lowest validation loss.'
    if isinstance(answer.found, SearchAnswer):
        explanation += (f' to dense: accuracy at the {answer.found.moment} minus that of the dense network, paired by '
                        f'seed; its verdict allows a margin of {100 * answer.found.margin:g} points.')
    return make_table('Rounds', {
        'round': lambda row: Cell(str(row.summary.source_number), row.summary.source_number),
        'network': lambda row: Cell(row.network),
        'density %': lambda row: cells.percent(row.summary.density),
        'weights': lambda row: cells.integer(row.summary.kept),
        'test %': lambda row: cells.mean_percent(row.summary.test_accuracy),
        'early stop': lambda row: cells.mean_count(row.summary.early_stop) if stops else EMPTY,
        'test % at stop': lambda row: cells.mean_percent(row.summary.early_stop_accuracy) if stops else EMPTY,
        'to dense (points)': lambda row: cells.mean_points(row.level.paired.difference) if row.level else EMPTY,
        'verdict': lambda row: Cell(row.level.verdict if row.level else ''),
        'churn %': lambda row: cells.percent(_mean_move(row.summary, 'churn')),
        'ever active %': lambda row: cells.percent(_mean_move(row.summary, 'ever_active')),
        'multiply-adds': lambda row: _operations(row.summary),
        'seeds': lambda row: cells.integer(row.summary.test_accuracy.n)}, rows, explanation)


def _mean_move(summary: RoundSummary, name: str) -> float | None:
    """The mean over the seeds of a share in the record of how their masks moved; None if one of them has none."""

    values = [getattr(result.moves, name) for result in summary.results if result.moves]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(summary.results) else None


def _seed_table(run: RecordedRun, rows: Sequence[_Row]) -> Table:
    stops = has_early_stops(run)
    has_draws = any(result.draw > 1 for row in rows for result in row.summary.results)
    return make_table('Each seed', {
        'round': lambda row: Cell(str(row.row.summary.source_number), row.row.summary.source_number),
        'network': lambda row: Cell(row.row.network),
        'seed': lambda row: cells.integer(row.result.seed),
        'draw': lambda row: cells.integer(row.result.draw) if has_draws else EMPTY,
        'weights': lambda row: cells.integer(row.result.kept),
        'test %': lambda row: cells.percent(row.result.test_accuracy),
        'early stop': lambda row: cells.integer(row.result.early_stop) if stops else EMPTY,
        'test % at stop': lambda row: cells.percent(row.result.early_stop_accuracy) if stops else EMPTY,
        'sampled masks, test %': lambda row: cells.percent(row.result.drawn_test_accuracy),
        'connected inputs': lambda row: _connected(row.result, 'inputs'),
        'connected units': lambda row: _connected(row.result, 'units'),
        'engine': lambda row: Cell(row.result.engine)},
        [_SeedRow(row, result) for row in rows for result in row.summary.results])


def _layer_table(view: RunView) -> Table:
    """The layers of the last round that all seeds have."""

    last = min(map(view.run.round_count, view.seeds)) - 1
    layers = zip(*(view.run.record(seed, last).layers for seed in view.seeds), strict=False)
    return make_table(f'Layers in round {view.run.table_round(last)}', {
        'layer': lambda row: Cell(row.first.name),
        'all weights': lambda row: cells.integer(row.first.weights),
        'weights': lambda row: Cell(f'{row.kept:,.0f}', row.kept),
        'density %': lambda row: cells.percent(row.kept / row.first.weights),
        'dense multiply-adds': lambda row: cells.integer(LayerOperations.of(row.first).dense),
        'multiply-adds': _layer_operations}, map(_LayerRow, layers),
        'Means over seeds. Multiply-adds are those of a forward pass for an image.')


def _operations(summary: RoundSummary) -> Cell:
    """Mean multiply-adds of the kept weights for an image."""

    counts = [result.operations.surviving for result in summary.results if result.operations]
    if len(counts) < len(summary.results):
        return EMPTY
    mean = statistics.mean(counts)
    return Cell(f'{mean:,.0f}', mean)


def _layer_operations(row: _LayerRow) -> Cell:
    if row.first.uses is None:
        return EMPTY
    operations = row.first.uses * row.kept
    return Cell(f'{operations:,.0f}', operations)


def _connected(result: RoundResult, part: str) -> Cell:
    return cells.integer(getattr(result.connected, part)) if result.connected else EMPTY


def _share(value: StoredInterval) -> Interval:
    """A stored mean in percent as a mean of shares."""

    return Interval(value.mean / 100, None if value.margin is None else value.margin / 100, value.n)


def _difference(row: StoredOriginal) -> Cell:
    return cells.mean_points(_share(row.difference_points)) if isinstance(row, StoredCheck) else EMPTY


def _p_value(row: StoredOriginal) -> Cell:
    if not isinstance(row, StoredCheck) or row.p is None:
        return EMPTY
    return Cell(f'{row.p:.2g}', row.p)
