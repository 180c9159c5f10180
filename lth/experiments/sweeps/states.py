"""The states of the cells while a sweep is trained, and sweep.json, which is written at most once a second."""
import time
from collections.abc import Sequence
from pathlib import Path

from lth.runs import sweep_file
from lth.runs.sweep_file import CellRecord, State

# A small run takes less time than a write that is on disk.
_SECONDS_BETWEEN_WRITES = 1.


class States:
    """The records of all cells, in the order of the grid."""

    def __init__(self, folder: Path, records: Sequence[CellRecord]) -> None:
        self._folder = folder
        self._records = {record.cell: record for record in records}
        self._last_write = 0.

    @property
    def records(self) -> list[CellRecord]:
        """All records."""

        return list(self._records.values())

    def set(self, cell: str, state: State, reason: str | None = None) -> CellRecord:
        """The record of the cell with another state."""

        self._records[cell] = self._records[cell].model_copy(update={'state': state, 'reason': reason})
        if time.monotonic() - self._last_write > _SECONDS_BETWEEN_WRITES:
            self.write()
        return self._records[cell]

    def write(self) -> None:
        """Write sweep.json."""

        sweep_file.write_sweep(self._folder, self.records)
        self._last_write = time.monotonic()
