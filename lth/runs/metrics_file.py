"""metrics.jsonl of a round: one line for each measurement, with the early stop marked.

A new column is a field of `MetricsLine` and an entry in `lines`.
"""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from lth.errors import LthError
from lth.runs.json_lines import IterationLine, parse_lines
from lth.runs.stored import Count, Share
from lth.system import lazy_import

# Lists of runs read records without importing torch.
if TYPE_CHECKING:
    from lth.training import state
else:
    state = lazy_import.module('lth.training.state')

METRICS = 'metrics.jsonl'
MOST_BYTES_OF_LINE = 16_384  # a line has about 350, and up to 50 more for each density whose masks are watched


class MetricsLine(IterationLine):
    """A measurement of one seed. Training values are means since the measurement before, None at the start. Lines of
    version 0.1.0 lack `seed`, `round` and `density`. `differing`, if masks are watched, has for each density in how
    many weights the mask differs from those of the measurements before, the latest first.
    """

    seed: Count | None = None
    round: Count | None = None
    density: Share | None = None
    iteration: Count
    train_loss: float | None
    train_accuracy: Share | None
    validation_loss: float
    validation_accuracy: Share
    test_loss: float
    test_accuracy: Share
    early_stop: bool
    differing: Annotated[list[Annotated[list[Count], Field(max_length=4)]], Field(max_length=255)] | None = None

    def measurement(self) -> 'state.Measurement':
        """The measurement, R = 1."""

        train = None
        if self.train_loss is not None and self.train_accuracy is not None:
            train = state.Metrics((self.train_loss,), (self.train_accuracy,))
        validation = state.Metrics((self.validation_loss,), (self.validation_accuracy,))
        test = state.Metrics((self.test_loss,), (self.test_accuracy,))
        differing = None if self.differing is None else (tuple(map(tuple, self.differing)),)
        return state.Measurement(self.iteration, train, validation, test, differing)

    def dump(self) -> dict[str, Any]:
        """The columns in plain types; `differing` only if masks are watched."""

        return self.model_dump(exclude={'differing'} if self.differing is None else None)


def lines(
        history: Sequence['state.Measurement'], replicate: int, *, seed: int, number: int, density: float,
) -> list[MetricsLine]:
    """The lines for one replicate of the measurements of a round."""

    stop = min(history, key=lambda measurement: measurement.validation.loss[replicate])
    return [MetricsLine(
        seed=seed, round=number, density=density, iteration=measured.iteration,
        train_loss=measured.train.loss[replicate] if measured.train else None,
        train_accuracy=measured.train.accuracy[replicate] if measured.train else None,
        validation_loss=measured.validation.loss[replicate],
        validation_accuracy=measured.validation.accuracy[replicate],
        test_loss=measured.test.loss[replicate], test_accuracy=measured.test.accuracy[replicate],
        early_stop=measured is stop,
        differing=list(map(list, measured.differing[replicate])) if measured.differing else None,
    ) for measured in history]


def encode(rows: Sequence[MetricsLine]) -> bytes:
    """The content of the file."""

    return ''.join(json.dumps(row.dump(), allow_nan=False) + '\n' for row in rows).encode()


def parse(content: bytes, path: Path, advice: str, *, count: int) -> list[MetricsLine]:
    """The lines of a file with `count` measurements. LthError, which ends with the advice, unless they are in order."""

    rows = parse_lines(MetricsLine, content, path, advice, count=count, items='measurements')
    if [row.early_stop for row in rows] != [row is early_stop(rows) for row in rows]:
        raise LthError(f'{path} is corrupt: early_stop does not mark the least validation loss. {advice}')
    return rows


def early_stop(rows: Sequence[MetricsLine]) -> MetricsLine:
    """The first line of least validation loss, determined after training (Frankle & Carbin 2019, section 2)."""

    return min(rows, key=lambda row: row.validation_loss)
