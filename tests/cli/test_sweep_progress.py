"""The progress of a sweep: bars on a recorded terminal, plain lines in a file or pipe, and the remaining time."""
import io
import re

from rich.console import Console

from lth.cli.sweep_progress import SweepDisplay
from lth.runs.sweep_file import CellRecord, State

LONG = 'learning_rate=0.001,dense=0.2,batch_size=120,length=40-epochs,weight_decay=0.0001'


def record(cell: str, state: State = 'complete', reason: str | None = None) -> CellRecord:
    return CellRecord(cell=cell, settings={}, digest='', seeds=[0], state=state, reason=reason)


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def test_the_remaining_time_leaves_out_the_start_of_processes_and_is_not_given_at_the_end(clock):
    console = Console(file=io.StringIO(), width=80)
    with SweepDisplay(3, 600, console) as display:
        display.cell_started('a', 200)
        clock.now += 60  # processes start
        display.cell_progress('a', 0)
        for cell in 'abc':
            if cell != 'a':
                display.cell_started(cell, 200)
            clock.now += 10
            display.cell_progress(cell, 200)
            display.cell_ended(record(cell))
    assert lines(console) == [
        '1 cell in training  0 of 3 cells  elapsed 1:00',
        'a complete  1 of 3 cells  elapsed 1:10, about 0:20 left',
        'b complete  2 of 3 cells  elapsed 1:20, about 0:10 left',
        'c complete  3 of 3 cells  elapsed 1:30']


def test_iterations_of_earlier_sessions_and_of_failed_cells_are_not_counted_as_speed(clock):
    console = Console(file=io.StringIO(), width=80)
    with SweepDisplay(3, 300, console) as display:
        for cell in 'ab':
            display.cell_started(cell, 100)
        display.cell_progress('a', 80)
        clock.now += 10
        display.cell_progress('a', 90)
        display.cell_progress('b', 10)
        display.cell_ended(record('b', 'failed', 'memory ran out'))
        display.cell_progress('a', 100)
        display.cell_ended(record('a'))
    # 30 iterations took 10 seconds; 100 of the third cell remain.
    assert lines(console) == [
        'b failed: memory ran out', 'a complete  2 of 3 cells, 1 failed  elapsed 0:10, about 0:33 left']


def test_a_terminal_shows_bars_next_to_long_names_and_the_time_goes_on_between_reports(clock):
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=80, legacy_windows=False)
    with SweepDisplay(2, 200, console) as display:
        for cell in (LONG, 'short'):
            display.cell_started(cell, 100)
        clock.now += 10
        display._bars.refresh()  # pylint: disable=protected-access # otherwise by a thread, four times a second
    text = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', console.file.getvalue())
    title, first, second = [line.rstrip() for line in text.split('0 of 2 cells')[-1].splitlines()[:3]]
    assert title == '  elapsed 0:10'
    assert first.startswith('━' * 20 + ' learning_rate=0.001') and first.endswith('…') and len(first) <= 80
    assert second == '━' * 20 + ' short'
