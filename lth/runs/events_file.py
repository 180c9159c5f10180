"""events.jsonl of a round whose mask moved: one line for each event, and their summary in round.json.

A new column is an entry of `EVENT_COLUMNS` (lth/training/state.py) and a field of `EventLine`.
"""
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pydantic

from lth.errors import LthError
from lth.runs.json_lines import IterationLine, parse_lines
from lth.runs.stored import Count, Share, Stored

EVENTS = 'events.jsonl'
MOST_BYTES_OF_LINE = 512  # a line has about 120


class EventLine(IterationLine):
    """An event: its iteration, the number of weights that are active after it, that it deactivated and that it
    activated, and that were ever active up to it.
    """

    iteration: Count
    active: Count
    dropped: Count
    grown: Count
    ever_active: Count

    @pydantic.model_validator(mode='after')
    def _counts_fit(self) -> Self:
        if not self.grown <= self.active <= self.ever_active:
            raise ValueError('grown should be at most active, and active at most ever_active')
        return self

    @property
    def churn(self) -> float:
        """The share of the active weights that the event changed: of those before and after it together."""

        before = self.active + self.dropped - self.grown
        return (self.dropped + self.grown) / (before + self.active)


class MovesRecord(Stored):
    """The events of a round together: their number, the weights that they deactivated and activated, the mean of their
    churn, None if there was no event, and the share of all prunable weights that were ever active up to the end.
    """

    events: Count
    dropped: Count
    grown: Count
    churn: Share | None
    ever_active: Share


def summary(rows: Sequence[EventLine], ever_active: float) -> MovesRecord:
    """The record of the events of a round."""

    churn = math.fsum(row.churn for row in rows) / len(rows) if rows else None
    return MovesRecord(events=len(rows), dropped=sum(row.dropped for row in rows),
                       grown=sum(row.grown for row in rows), churn=churn, ever_active=ever_active)


def encode(rows: Sequence[EventLine]) -> bytes:
    """The content of the file."""

    return ''.join(json.dumps(row.model_dump()) + '\n' for row in rows).encode()


def parse(content: bytes, path: Path, advice: str, record: MovesRecord) -> list[EventLine]:
    """The lines of the file of a round with this record. LthError, which ends with the advice, unless they fit it."""

    rows = parse_lines(EventLine, content, path, advice, count=record.events, items='events')
    if summary(rows, record.ever_active) != record:
        raise LthError(f'{path} does not belong to the other files of its round: its events are not those in '
                       f'round.json. {advice}')
    return rows
