"""What training a ticket or a gem gains, and how the result compares with a dense network trained in the same way."""
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lth.analysis.answers import words
from lth.analysis.answers.levels import (
    MARGIN, LevelVerdict, PairedDifference, is_dense, level_verdict, paired_difference)
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun
from lth.errors import LthError
from lth.experiments import folders
from lth.registry import user_code
from lth.runs.stored_run import StoredRun

_VERDICTS: dict[LevelVerdict, str] = {
    'matching': 'it matches', 'worse': 'it is worse than', 'undecided': 'undecided, add seeds: it is compared with'}


class DenseComparison(NamedTuple):
    """A dense network trained in the same way, in the run at `folder`: its accuracy, and the finetuned one's minus it.
    """

    folder: Path
    accuracy: Interval
    paired: PairedDifference
    verdict: LevelVerdict


class FinetunedAnswer(NamedTuple):
    """Test accuracy of the subnetwork in its source run and after finetuning, and the gain, paired by seed; `before`
    and `gain` are None if the source has other data or lacks the round. `dense` is None if no dense network was trained
    alike; `needs_trust` is whether a command that trains one imports the user's code.
    """

    source: Path
    number: int
    margin: float
    before: Interval | None
    after: Interval
    gain: Interval | None
    dense: DenseComparison | None
    needs_trust: bool = False

    def sentences(self) -> list[str]:
        """The answer in words."""

        return [self._gain_sentence(), self._dense_sentence()]

    def _gain_sentence(self) -> str:
        after = f'{words.percent(self.after)}, n = {self.after.n}'
        if self.before is None or self.gain is None:
            return f'After finetuning: {after}. There is no accuracy before it to compare with.'
        return (f'Finetuning changes the test accuracy from {words.percent(self.before)} to {after}: '
                f'{words.points(self.gain)}.')

    def _dense_sentence(self) -> str:
        if self.dense is None:
            trust = ' --trust-code' if self.needs_trust else ''
            return (f'No dense network that was trained in the same way is here: lth sanity-check {self.source} '
                    f'--round {self.number}{trust} trains one.')
        lower = self.dense.paired.lower
        bound = '' if lower is None else f', lower 95% bound {words.bound(lower)}'
        return (f'Next to the dense network trained in the same way, {words.percent(self.dense.accuracy)} '
                f'({self.dense.folder}): {_VERDICTS[self.dense.verdict]} it with a margin of {100 * self.margin:g} '
                f'points, {words.points(self.dense.paired.difference)}{bound}.')


def finetuned_answer(run: RecordedRun, seeds: Sequence[int], margin: float = MARGIN) -> FinetunedAnswer | None:
    """The answer of a run that finetunes a round of another run; None for other runs."""

    try:
        stored = StoredRun.open(run.folder)
        if stored.source_folder is None:
            return None
        source = StoredRun.open(stored.source_folder)
    except LthError:  # the source is gone
        return None
    number, after = stored.source_round(0), _accuracies(stored, seeds, 0)
    before = _accuracies(source, seeds, number) if _same_data(stored, source) else {}
    gain = paired_difference(after, before)
    return FinetunedAnswer(
        source.folder, number, margin, confidence_interval(list(before.values())) if gain else None,
        confidence_interval(list(after.values())), gain.difference if gain else None,
        _dense_comparison(stored, source, number, after, margin), bool(user_code.code_names(stored.recipe)))


def _accuracies(run: StoredRun, seeds: Sequence[int], number: int) -> dict[int, float]:
    """The test accuracy of a round, of the seeds that have it."""

    return {seed: run.record(seed, number).test_accuracy for seed in seeds if number < run.round_count(seed)}


def _same_data(first: StoredRun, second: StoredRun) -> bool:
    return bool(first.recipe['data']['name'] == second.recipe['data']['name'])


def _dense_comparison(
        run: StoredRun, source: StoredRun, number: int, after: dict[int, float], margin: float,
) -> DenseComparison | None:
    """The comparison with the first dense network that was trained like the run and shares a seed with it."""

    for folder, dense in _dense_accuracies(run, source, list(after), number):
        if paired := paired_difference(after, dense):
            mean = confidence_interval([accuracy for seed, accuracy in dense.items() if seed in after])
            return DenseComparison(folder, mean, paired, level_verdict(paired, margin))
    return None


def _dense_accuracies(
        run: StoredRun, source: StoredRun, seeds: Sequence[int], number: int,
) -> Iterator[tuple[Path, dict[int, float]]]:
    """The dense networks that were trained like the run: round 0 of the source, and those of its sanity checks."""

    checks = [folders.sibling_folder(source.folder, f'checks{end}') / 'dense' for end in (f'-round-{number:02d}', '')]
    for folder in [source.folder, *checks]:
        with contextlib.suppress(LthError):
            candidate = StoredRun.open(folder)
            if all(candidate.recipe[section] == run.recipe[section] for section in ('model', 'data', 'training')):
                yield folder, {seed: accuracy for seed, accuracy in _accuracies(candidate, seeds, 0).items()
                               if is_dense(candidate.record(seed, 0))}
