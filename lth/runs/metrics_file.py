"""metrics.jsonl of a round: one line for each measurement, with the early stop marked.

A new column is an entry of the rows in `_row` and of `_COLUMNS`.
"""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lth.training.task import Measurement, Metrics

Row = dict[str, Any]
_SPLITS = ('train', 'validation', 'test')
_COLUMNS = {'iteration', 'early_stop', *(f'{split}_{what}' for split in _SPLITS for what in ('loss', 'accuracy'))}


def encode(history: Sequence[Measurement], replicate: int) -> bytes:
    """The file for one replicate of these measurements."""

    rows = [_row(measurement, replicate) for measurement in history]
    stop = early_stop(rows)
    lines = [json.dumps(row | {'early_stop': row is stop}, allow_nan=False) + '\n' for row in rows]
    return ''.join(lines).encode()


def read(path: Path, *, count: int) -> list[Row]:
    """The rows of the file. OSError or ValueError if it cannot be read or does not hold `count` measurements."""

    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    if len(rows) != count or not all(isinstance(row, dict) and row.keys() == _COLUMNS for row in rows):
        raise ValueError(f'expected {count} lines with the columns {", ".join(sorted(_COLUMNS))}')
    return rows


def early_stop(rows: Sequence[Row]) -> Row:
    """The first row of least validation loss, determined after training (Frankle & Carbin 2019, section 2)."""

    return min(rows, key=lambda row: float(row['validation_loss']))


def measurement(row: Row) -> Measurement:
    """The measurement of a row, R = 1."""

    train, validation, test = (
        Metrics((row[f'{split}_loss'],), (row[f'{split}_accuracy'],)) for split in _SPLITS)
    return Measurement(row['iteration'], None if row['train_loss'] is None else train, validation, test)


def _row(measured: Measurement, replicate: int) -> Row:
    row: Row = {'iteration': measured.iteration}
    for split in _SPLITS:
        metrics: Metrics | None = getattr(measured, split)
        row[f'{split}_loss'] = metrics.loss[replicate] if metrics else None
        row[f'{split}_accuracy'] = metrics.accuracy[replicate] if metrics else None
    return row
