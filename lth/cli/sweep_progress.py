"""The progress of a sweep on standard error: bars on a terminal; in a file or pipe, a line for each cell that ends."""
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn
from rich.table import Column, Table

from lth.cli.console import err
from lth.cli.progress import BarDisplay, duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lth.runs.sweep_file import CellRecord

# Bars of cells; the others wait for a place on the screen.
_MOST_BARS = 12
_BAR_WIDTH = 20
_SECONDS_BETWEEN_LINES = 30.
_SECONDS_BEFORE_ESTIMATE = 2.


class SweepDisplay(BarDisplay):
    """Shows how many of some cells are done, how many failed, and how far those in training are. A context manager.
    `steps` is the number of iterations of all of them.
    """

    def __init__(self, cells: int, steps: int, console: Console = err) -> None:
        self._console = console
        self._state = _State(cells, steps)
        self._last_line = time.monotonic()
        self._bars = _CellBars(self._state, console)
        self._tasks: dict[str, TaskID] = {}

    def cell_started(self, cell: str, steps: int) -> None:
        """Show a bar for the cell."""

        self._state.start(cell, steps)
        self._tasks[cell] = self._bars.add_task(cell, total=max(1, steps), visible=len(self._tasks) < _MOST_BARS)

    def cell_progress(self, cell: str, steps: int) -> None:
        """Move the bar of the cell."""

        self._state.train(cell, steps)
        self._bars.update(self._tasks[cell], completed=steps)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            number = len(self._tasks)
            self._print_line(f'{number} {"cell" if number == 1 else "cells"} in training')

    def cell_ended(self, record: 'CellRecord') -> None:
        """Remove the bar of the cell. A cell that failed leaves a line with the reason."""

        self._bars.remove_task(self._tasks.pop(record.cell))
        for task in list(self._tasks.values())[:_MOST_BARS]:
            self._bars.update(task, visible=True)
        self._state.end(record.cell, has_failed=record.state == 'failed')
        if record.state == 'failed':
            self.message(f'{record.cell} failed: {record.reason}')
        elif not self._console.is_terminal:
            self._print_line(f'{record.cell} complete')

    def _print_line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.message(f'{text}  {self._state}')


class _State:
    """How many cells are done, the elapsed time, and an estimate of the remaining time. As text:
    `2 of 8 cells  elapsed 0:22, about 1:05 left`.

    The speed is measured from the first report of a training on: the time before it, in which processes start, does
    not depend on the number of cells.
    """

    def __init__(self, cells: int, steps: int) -> None:
        self._cells = cells
        self._steps = steps
        self._ended = self._failed = 0
        self._start = time.monotonic()
        self._first_report: float | None = None
        # The iterations of each cell, those that are done, and those that were done before the first report: an
        # earlier session may have trained a part.
        self._own: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._before = 0

    def start(self, cell: str, steps: int) -> None:
        """Count the iterations of a cell that starts."""

        self._own[cell] = steps

    def train(self, cell: str, steps: int) -> None:
        """Count the iterations of a cell that are done."""

        if self._first_report is None:
            self._first_report, self._before = time.monotonic(), steps
        self._done[cell] = steps

    def end(self, cell: str, *, has_failed: bool) -> None:
        """Count a cell as ended. None of its iterations remain, also if it failed before the last one."""

        self._ended += 1
        self._failed += has_failed
        self._steps -= self._own[cell] - self._done.setdefault(cell, 0)

    def __str__(self) -> str:
        elapsed = duration(time.monotonic() - self._start)
        failed = f', {self._failed} failed' if self._failed else ''
        left = self._seconds_left()
        about = '' if left is None else f', about {duration(left)} left'
        return f'{self._ended} of {self._cells} cells{failed}  elapsed {elapsed}{about}'

    def _seconds_left(self) -> float | None:
        """The estimate; None as long as too little is known, and at the end."""

        done = sum(list(self._done.values()))  # bars are drawn in a thread of their own
        trained = done - self._before
        seconds = time.monotonic() - (self._first_report or time.monotonic())
        if trained <= 0 or seconds < _SECONDS_BEFORE_ESTIMATE or self._ended == self._cells:
            return None
        return seconds / trained * (self._steps - done)


class _CellBars(Progress):
    """A bar for each cell in training below the state of the sweep. Names that are too long lose their end, not the
    bars.
    """

    def __init__(self, state: _State, console: Console) -> None:
        self._state = state
        name = TextColumn('{task.description}', markup=False, table_column=Column(no_wrap=True, ratio=1))
        super().__init__(BarColumn(_BAR_WIDTH, table_column=Column(no_wrap=True)), name, console=console,
                         transient=True, refresh_per_second=4)

    def make_tasks_table(self, tasks: 'Iterable[Task]') -> Table:
        """rich's table of bars, with the state as its title."""

        table = super().make_tasks_table(tasks)
        table.title, table.title_justify, table.expand = str(self._state), 'left', True
        return table
