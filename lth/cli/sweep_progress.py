"""The progress of a sweep on standard error: bars on a terminal; in a file or pipe, a line for each cell that ends."""
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lth.cli.console import err
from lth.cli.progress import BarDisplay, duration

if TYPE_CHECKING:
    from lth.runs.sweep_file import CellRecord

# Bars of cells; the others wait for a place on the screen.
_MOST_BARS = 12
_SECONDS_BETWEEN_LINES = 30.


class SweepDisplay(BarDisplay):
    """Shows how many cells are done, how many failed, and how far those in training are. A context manager."""

    def __init__(self, cells: int, console: Console = err) -> None:
        self._console = console
        self._cells = cells
        self._done = self._failed = 0
        self._start = self._last_line = time.monotonic()
        self._bars = Progress(
            TextColumn('{task.description}', markup=False), BarColumn(28), TextColumn('{task.fields[state]}'),
            console=console, transient=True, refresh_per_second=4)
        self._all = self._bars.add_task('all cells', total=cells, state=self._summary())
        self._tasks: dict[str, TaskID] = {}

    def message(self, text: str) -> None:
        """Print a line that stays on the screen."""

        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def cell_started(self, cell: str, steps: int) -> None:
        """Show a bar for the cell."""

        self._tasks[cell] = self._bars.add_task(
            cell, total=max(1, steps), state='', visible=len(self._tasks) < _MOST_BARS)

    def cell_progress(self, cell: str, steps: int) -> None:
        """Move the bar of the cell."""

        self._bars.update(self._tasks[cell], completed=steps)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print_line(f'{len(self._tasks)} cells in training')

    def cell_ended(self, record: 'CellRecord') -> None:
        """Remove the bar of the cell. A cell that failed leaves a line with the reason."""

        self._bars.remove_task(self._tasks.pop(record.cell))
        for task in list(self._tasks.values())[:_MOST_BARS]:
            self._bars.update(task, visible=True)
        self._done += 1
        self._failed += record.state == 'failed'
        self._bars.update(self._all, completed=self._done, state=self._summary())
        if record.state == 'failed':
            self.message(f'{record.cell} failed: {record.reason}')
        elif not self._console.is_terminal:
            self._print_line(f'{record.cell} complete')

    def _print_line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.message(f'{text}  {self._summary()}')

    def _summary(self) -> str:
        """How many cells are done, the elapsed time, and an estimate of the remaining time."""

        elapsed = time.monotonic() - self._start
        failed = f', {self._failed} failed' if self._failed else ''
        left = elapsed / self._done * (self._cells - self._done) if self._done else None
        about = '' if left is None else f', about {duration(left)} left'
        return f'{self._done} of {self._cells} cells{failed}  elapsed {duration(elapsed)}{about}'
