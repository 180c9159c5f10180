"""What a run says whose first round is the dense network: which tickets match it, and what the controls say."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.answers.levels import (
    MARGIN, Level, LevelVerdict, Moment, accuracies, compare_levels, is_dense)
from lth.analysis.statistics import Comparison, Interval, Verdict, compare_paired, confidence_interval, verdict
from lth.analysis.summary_table import (
    RecordedRun, RoundSummary, algorithm_settings, control_rows, summary_rows)
from lth.errors import number_ranges

# Part of the dense network's iterations: a lowest validation loss after it means that longer training may help.
_LAST_PART = 0.9
_VERDICTS: tuple[tuple[LevelVerdict, str], ...] = (
    ('matching', 'Matching'), ('worse', 'Worse'), ('undecided', 'Undecided'))


class ControlAnswer(NamedTuple):
    """A control next to the ticket of one level: ticket - control, paired by seed, and in how many of the rounds that
    both have the ticket is better.
    """

    name: str
    comparison: Comparison
    verdict: Verdict
    rounds_better: int
    rounds: int


class SearchAnswer(NamedTuple):
    """All levels next to the dense network. `sparsest` is the sparsest matching level, None if there is none, `best`
    the level of highest mean accuracy. `controls` are compared with the ticket of `sparsest`, otherwise of `best`.
    `undertrained` are the seeds whose dense network has its lowest validation loss in the last tenth of its training,
    `still_falling` the rounds with a ticket whose early stop is its last iteration, where accuracy is read at the early
    stop.
    """

    moment: Moment
    margin: float
    dense: Interval
    levels: list[Level]
    sparsest: Level | None
    best: Level
    controls: list[ControlAnswer]
    undertrained: list[int]
    still_falling: list[int]
    seeds: list[int]

    @property
    def chosen(self) -> Level:
        """The level whose ticket is worth a closer look: the sparsest matching one, or else the best."""

        return self.sparsest or self.best

    def sentences(self) -> list[str]:
        """The answer in words, the most important first."""

        lines = [self._undertrained_sentence()] if self.undertrained else []
        lines += [self._headline(), *self._verdict_sentences()]
        if self.sparsest:
            lines.append(f'Sparsest matching ticket: {self._level_words(self.sparsest)}')
        if self.best is not self.sparsest:
            lines.append(f'Best ticket: {self._level_words(self.best)}')
        lines += [self._falling_sentence()] if self.still_falling else []
        return lines + [self._control_sentence(control) for control in self.controls]

    def of_verdict(self, name: LevelVerdict) -> list[int]:
        """The numbers of the rounds with this verdict."""

        return [level.number for level in self.levels if level.verdict == name]

    def _undertrained_sentence(self) -> str:
        seeds = f'{len(self.undertrained)} of {words.plural(len(self.seeds), "seed")}'
        return (f'The dense network may be undertrained: for {seeds}, its lowest validation loss is in the last 10% of '
                'its iterations. Train longer with -e before you compare tickets with it.')

    def _falling_sentence(self) -> str:
        return (f'The validation loss of tickets still falls at the end of training, so that their early stop is the '
                f'last iteration (rounds: {number_ranges(self.still_falling)}). Train longer with -e before you '
                'compare early stops.')

    def _headline(self) -> str:
        matching, count = len(self.of_verdict('matching')), len(self.levels)
        reference = f'the dense network ({words.percent(self.dense)} at the {self.moment}, n = {self.dense.n})'
        if matching:
            rounds = words.plural(count, 'sparse round')
            verb = 'matches' if matching == 1 else 'match'
            return f'Matching tickets were found: {matching} of {rounds} {verb} {reference}.'
        if len(self.of_verdict('worse')) == count:
            return f'No matching ticket was found: every sparse round is worse than {reference}.'
        if self.dense.n == 1:
            return (f'Undecided whether a ticket matches {reference}: a single seed has no confidence interval. Add '
                    'two or more seeds.')
        return f'No sparse round is shown to match {reference}. More seeds may decide it.'

    def _verdict_sentences(self) -> list[str]:
        """The rounds of each verdict. With one seed all are undecided."""

        if self.dense.n == 1:
            return []
        rounds = [f'{name}: {number_ranges(numbers)}' for verdict_, name in _VERDICTS
                  if (numbers := self.of_verdict(verdict_))]
        limit = f'{100 * self.margin:g} points'
        return [f'Rounds by their difference to the dense network, with a margin of {limit} and 95% confidence. '
                f'{". ".join(rounds)}.']

    def _level_words(self, level: Level) -> str:
        lower = '' if level.paired.lower is None else f', lower 95% bound {words.bound(level.paired.lower)}'
        accuracy, difference = words.percent(level.accuracy), words.points(level.paired.difference)
        text = (f'round {level.number}, {words.density(level.density)} of the weights, {accuracy}, {difference} to the '
                f'dense network{lower}.')
        return text + (self._stop_words(level) if self.moment == 'early stop' else '')

    def _stop_words(self, level: Level) -> str:
        """How much sooner than the dense network a ticket reaches its early stop."""

        ticket, dense = level.early_stops.mean, level.dense_early_stops.mean
        if not dense:
            return ''
        part = f'{abs(1 - ticket / dense):.0%}'
        order = 'sooner' if ticket <= dense else 'later'
        comparative = 'as late as' if part == '0%' else f'{part} {order} than'
        return f' Its early stop is at iteration {ticket:,.0f}, {comparative} that of the dense network ({dense:,.0f}).'

    def _control_sentence(self, control: ControlAnswer) -> str:
        size, at = words.amount(control.comparison), f'Control {control.name}, round {self.chosen.number}'
        comparative = 'better' if control.comparison.difference.mean >= 0 else 'worse'
        often = ''
        if control.comparison.difference.margin is not None:
            often = (f' Over all rounds: better in {control.rounds_better} of {control.rounds}, with 95% confidence in '
                     'each.')
        return f'{at}: {control.verdict}: the ticket is {comparative} by {size}.{often}'


def search_answer(
        run: RecordedRun, seeds: Sequence[int], controls: Mapping[str, Sequence[RecordedRun]],
        margin: float = MARGIN) -> SearchAnswer | None:
    """The answer of a run, None if its first round is not dense or if there is no other."""

    rows = summary_rows([run], seeds)
    if len(rows) < 2 or not is_dense(run.record(rows[0].results[0].seed, rows[0].number)):
        return None
    moment = moment_of(run)
    levels = compare_levels(rows, moment, margin)
    if not levels:
        return None
    best = max(levels, key=lambda level: level.accuracy.mean)
    matching = [level for level in levels if level.verdict == 'matching']
    sparsest = min(matching, key=lambda level: level.kept, default=None)
    chosen = (sparsest or best).number
    compared = (_control_answer(name, rows, control_rows(draws, seeds), chosen, moment)
                for name, draws in controls.items())
    dense = accuracies(rows[0], moment)
    return SearchAnswer(
        moment, margin, confidence_interval(list(dense.values())), levels, sparsest, best,
        [control for control in compared if control], _undertrained(run, rows[0]),
        _still_falling(run, rows[1:], moment), list(dense))


def moment_of(run: RecordedRun) -> Moment:
    """When the accuracy of a run is read: at the early stop if its learning rate is constant, as Frankle & Carbin 2019
    do for LeNet and Conv-2, -4 and -6; at the end if the learning rate decreases, as there for VGG and ResNet, and if
    the run was measured only then.
    """

    if algorithm_settings(run).origin:
        return 'end'
    schedule = run.recipe.get('training', {}).get('schedule') or {}
    return 'early stop' if schedule.get('name', 'constant') == 'constant' else 'end'


def _undertrained(run: RecordedRun, dense: RoundSummary) -> list[int]:
    """The seeds whose lowest validation loss is in the last tenth of the iterations of the dense network."""

    if algorithm_settings(run).origin:
        return []
    lengths = {result.seed: run.record(result.seed, dense.number).last.iteration for result in dense.results}
    return [result.seed for result in dense.results if result.early_stop > _LAST_PART * lengths[result.seed]]


def _still_falling(run: RecordedRun, tickets: Sequence[RoundSummary], moment: Moment) -> list[int]:
    """The rounds, as tables number them, in which the lowest validation loss of a seed is that of the last iteration.
    With decreasing learning rates, whose accuracy is read at the end, that is expected: [].
    """

    if moment == 'end':
        return []
    return [row.source_number for row in tickets
            if any(result.early_stop == run.record(result.seed, row.number).last.iteration for result in row.results)]


def _control_answer(
        name: str, rows: Sequence[RoundSummary], controls: Mapping[int, RoundSummary], chosen: int, moment: Moment,
) -> ControlAnswer | None:
    """The control next to the ticket of the chosen round, None if it has no seed of this round."""

    comparisons: dict[int, Comparison] = {}
    for row in rows:
        if row.number in controls:
            ticket, control = accuracies(row, moment), accuracies(controls[row.number], moment)
            shared = [seed for seed in ticket if seed in control]
            comparisons[row.source_number] = compare_paired([ticket[seed] for seed in shared],
                                                            [control[seed] for seed in shared])
    if chosen not in comparisons:
        return None
    better = [one for one in comparisons.values() if verdict(one) == 'survives']
    return ControlAnswer(name, comparisons[chosen], verdict(comparisons[chosen]), len(better), len(comparisons))
