"""The iterations at which rounds end, where the rounds are parts of one training."""
from lth.errors import LthError
from lth.recipes.durations import Duration
from lth.recipes.schema import MOST_ROUNDS, TrainingSettings


def multiples(every: Duration, training: TrainingSettings, steps_per_epoch: int) -> list[int]:
    """The iterations at multiples of an interval, and the end of training. LthError for too many."""

    step, end = every.steps(steps_per_epoch), training.length.steps(steps_per_epoch)
    if end // step > MOST_ROUNDS:
        raise LthError(f'A round would end every {every}, {end // step:,} times until the end of training at '
                       f'{training.length}, and a run has at most {MOST_ROUNDS:,} rounds. Train less, or make the '
                       'interval longer.')
    return [*range(step, end, step), end]


def refuse_empty_interval(name: str, interval: Duration) -> None:
    """Raise an LthError if an interval between two rounds is 0."""

    if interval.amount < 1:
        raise LthError(f'algorithm.{name}: {interval} is not a length. Give at least 1 epoch or 1 iteration.')
