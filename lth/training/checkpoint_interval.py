"""How often a training in progress is saved: by wall time, by iterations, or never. Imports no torch."""
import re
from dataclasses import dataclass

from lth.errors import LthError, quote

_SECONDS = {'second': 1, 'minute': 60, 'hour': 3600}


@dataclass(frozen=True)
class CheckpointInterval:
    """The time between two checkpoints: seconds, or iterations. With neither, none is saved."""

    seconds: int | None = None
    iterations: int | None = None

    @property
    def is_off(self) -> bool:
        """Whether no checkpoint is saved."""

        return self.seconds is None and self.iterations is None


DEFAULT_INTERVAL = CheckpointInterval(seconds=600)


def checkpoint_interval(text: str) -> CheckpointInterval:
    """The interval that a text such as '10 minutes', '200 iterations' or 'off' means; LthError for others.

        >>> checkpoint_interval('2 minutes')
        CheckpointInterval(seconds=120, iterations=None)
    """

    if text == 'off':
        return CheckpointInterval()
    match = re.fullmatch(r'\s*(\d{1,9})\s*(second|minute|hour|iteration)s?\s*', text)
    if match is None or int(match[1]) == 0:
        raise LthError(f"--checkpoint-every: {quote(text)} is not an interval. Give one such as '10 minutes', "
                       "'200 iterations' or 'off'.")
    amount, unit = int(match[1]), match[2]
    if unit == 'iteration':
        return CheckpointInterval(iterations=amount)
    return CheckpointInterval(seconds=amount * _SECONDS[unit])
