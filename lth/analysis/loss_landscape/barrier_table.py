"""The table of barriers between successive rounds, and whether they agree with the verdicts on matching.

Paul et al. 2022 find that a round matches the dense network if and only if no barrier separates it from the round
before.
"""
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lth.analysis.answers.levels import MARGIN, LevelVerdict, Moment, compare_levels, is_dense
from lth.analysis.answers.search import moment_of
from lth.analysis.loss_landscape.barrier_files import RoundErrors, RoundPair
from lth.analysis.stability_table import STABLE_BARRIER, Stable, stable
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun, RoundSummary, summary_rows
from lth.errors import number_ranges

Agreement = Literal['yes', 'no', 'undecided']


class BarrierRow(NamedTuple):
    """A round and the line to it from the round before, over seeds. Accuracy, errors and barrier are shares.
    `connected` is whether the barrier is below 2 percentage points, `matching` the verdict of the paired comparison
    with the dense network, None if the run has none, and `agrees` whether both say the same.
    """

    round: int
    density: float
    accuracy: Interval
    barrier: Interval
    projected_error: Interval
    pruning_cost: Interval
    connected: Stable
    matching: LevelVerdict | None
    agrees: Agreement


class BarrierTable(NamedTuple):
    """The rows, and the moment and margin (a share of the images) of the comparison with the dense network."""

    rows: list[BarrierRow]
    moment: Moment
    margin: float

    def sentences(self) -> list[str]:
        """In which rounds barriers and verdicts agree, in words."""

        if all(row.matching is None for row in self.rows):
            return ['The run has no dense network, so it is unknown which of its rounds match it.']
        claim = ('Paul et al. 2022: a round matches the dense network if and only if no barrier separates it from the '
                 f'round before. Here a barrier below {100 * STABLE_BARRIER:g} points counts as none, and a round '
                 f'matches if its test accuracy at the {self.moment} is at most {100 * self.margin:g} points lower, '
                 'both with 95% confidence.')
        return [claim, *self._agreement()]

    def _agreement(self) -> list[str]:
        """The rounds that agree with the claim, disagree, and are undecided."""

        found = {agrees: [row for row in self.rows if row.agrees == agrees] for agrees in ('yes', 'no', 'undecided')}
        sentences = []
        if found['yes']:
            sentences.append(f'The barrier agrees with the verdict in {_rounds(found["yes"])}.')
        sentences += [f'It disagrees in round {row.round}: {_DISAGREEMENT[row.connected]}.' for row in found['no']]
        if found['undecided']:
            more = ' A single seed has no confidence interval: add two or more seeds.'
            single = all(row.barrier.n == 1 for row in found['undecided'])
            sentences.append(f'Undecided: {_rounds(found["undecided"])}.{more if single else ""}')
        return sentences


_DISAGREEMENT: dict[Stable, str] = {
    'yes': 'there is no barrier, but it does not match', 'no': 'there is a barrier, but it matches'}


def barrier_table(
        run: RecordedRun, seeds: Sequence[int], measured: Iterable[tuple[RoundPair, RoundErrors]],
        margin: float = MARGIN) -> BarrierTable:
    """A row for each round that was measured, in order. `margin` is that of the answers of the run."""

    summaries, moment = summary_rows([run], seeds), moment_of(run)
    verdicts = _verdicts(run, summaries, moment, margin)
    groups: dict[int, list[RoundErrors]] = {}
    for pair, errors in measured:
        groups.setdefault(pair.round, []).append(errors)
    rows = [_row(summaries[number], groups[number], verdicts.get(number)) for number in sorted(groups)]
    return BarrierTable(rows, moment, margin)


def agreement(connected: Stable, matching: LevelVerdict | None) -> Agreement:
    """Whether a round matches if and only if it is connected to the round before; undecided if one is unknown."""

    if connected == 'undecided' or matching in (None, 'undecided'):
        return 'undecided'
    return 'yes' if (connected == 'yes') == (matching == 'matching') else 'no'


def _verdicts(
        run: RecordedRun, summaries: Sequence[RoundSummary], moment: Moment, margin: float) -> dict[int, LevelVerdict]:
    """The verdict on each round, by its number; none if the first round is not dense."""

    if not is_dense(run.record(summaries[0].results[0].seed, 0)):
        return {}
    return {level.number: level.verdict for level in compare_levels(summaries, moment, margin)}


def _row(summary: RoundSummary, group: Sequence[RoundErrors], matching: LevelVerdict | None) -> BarrierRow:
    barrier = confidence_interval([errors.barrier for errors in group])
    connected = stable(barrier)
    return BarrierRow(
        summary.number, summary.density, summary.test_accuracy, barrier,
        confidence_interval([errors.projected[0] for errors in group]),
        confidence_interval([errors.pruning_cost for errors in group]), connected, matching,
        agreement(connected, matching))


def _rounds(rows: Sequence[BarrierRow]) -> str:
    numbers = [row.round for row in rows]
    return f'round{"s" * (len(numbers) > 1)} {number_ranges(numbers)}'
