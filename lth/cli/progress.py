"""Progress on standard error: bars that are updated in place on a terminal; in a file or pipe, a line now and then."""
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from lth.cli.console import err, print_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lth.experiments.plan import Plan
    from lth.experiments.reporter import SeedProgress

_SECONDS_BETWEEN_LINES = 30.
_SECONDS_BEFORE_ESTIMATE = 2.


class BarDisplay:
    """A context manager that shows bars on a terminal, while the block runs."""

    _console: Console
    _bars: Progress

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def message(self, text: str) -> None:
        """Print a line that stays on the screen, unless the command has printed it."""

        print_once(text, self._console)


class ProgressDisplay(BarDisplay):
    """Shows where the training of each seed is, its accuracies, and the time that remains. A context manager."""

    def __init__(self, plan: 'Plan', seeds: Sequence[int], console: Console = err) -> None:
        self._plan = plan
        self._console = console
        self._time = _RemainingTime(plan.total_steps * len(seeds))
        self._last_line = time.monotonic()
        self._bars = _SeedBars(f'{plan.recipe.model.name} on {plan.recipe.data.name}', self._time, console)
        self._tasks = {seed: self._bars.add_task(str(seed), visible=False, total=max(1, plan.total_steps), round='',
                                                 weights='', epoch='', validation='', test='') for seed in seeds}

    def progress(self, progress: 'SeedProgress') -> None:
        """Show the latest progress of some seeds."""

        self._update(progress)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print_lines(progress, 'epoch {epoch}')

    def round_saved(self, progress: 'SeedProgress') -> None:
        """Show that some seeds have completed a round."""

        self._update(progress)
        if not self._console.is_terminal:
            self._print_lines(progress, 'done')

    def _update(self, progress: 'SeedProgress') -> None:
        """Update the bars of these seeds."""

        done = self._plan.steps_done(progress.number, progress.step)
        density = self._plan.network.layout.density(self._plan.kept[progress.number])
        table_round, last = self._plan.recipe.algorithm.table_round, len(self._plan.kept) - 1
        measured = {'validation': progress.validation, 'test': progress.test}
        for position, seed in enumerate(progress.seeds):
            self._time.update(seed, done)
            accuracies: dict[str, Any] = {
                name: f'{shares[position]:.2%}' for name, shares in measured.items() if shares}
            self._bars.update(
                self._tasks[seed], completed=done, visible=True, epoch=self._epoch(progress.step),
                round=f'{table_round(progress.number)}/{table_round(last)}', weights=f'{density:.2%}', **accuracies)

    def _print_lines(self, progress: 'SeedProgress', state: str) -> None:
        """Print one line for each of these seeds."""

        self._last_line = time.monotonic()
        for seed in progress.seeds:
            fields = self._bars.tasks[self._tasks[seed]].fields
            parts = [f'seed {seed}', f'round {fields["round"]}', f'{fields["weights"]} of weights',
                     state.format_map(fields), f'test {fields["test"]}' if fields['test'] else '', str(self._time)]
            self.message('  '.join(filter(None, parts)))

    def _epoch(self, step: int) -> str:
        """The epoch of a step and the number of epochs in a round; steps if a round is shorter than an epoch."""

        epochs = self._plan.steps / self._plan.steps_per_epoch
        if epochs < 1:
            return f'{step}/{self._plan.steps} steps'
        return f'{step / self._plan.steps_per_epoch:.1f}/{epochs:.3g}'


class CountDisplay(BarDisplay):
    """Shows how many of a number of items are done. A context manager."""

    def __init__(self, items: str, console: Console = err) -> None:
        self._items = items
        self._console = console
        self._start = self._last_line = time.monotonic()
        self._bars = Progress(TextColumn('{task.description}', markup=False), BarColumn(), MofNCompleteColumn(),
                              TimeRemainingColumn(), console=console, transient=True)
        self._task = self._bars.add_task(items, total=None)

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` items are done."""

        self._bars.update(self._task, completed=done, total=total)
        now = time.monotonic()
        if not self._console.is_terminal and (done == total or now - self._last_line > _SECONDS_BETWEEN_LINES):
            self._last_line = now
            self._console.print(f'{done:,} of {total:,} {self._items}  elapsed {duration(now - self._start)}',
                                highlight=False, markup=False)


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds, 41:44, or with hours, 1:41:44."""

    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'


class _SeedBars(Progress):
    """A table with one row and bar per seed. The bar spans all rounds of the seed."""

    def __init__(self, title: str, remaining: '_RemainingTime', console: Console) -> None:
        self._title = title
        self._time = remaining
        super().__init__(
            _text('description', 'seed'), _text('fields[round]', 'round'), _text('fields[weights]', 'weights'),
            _text('fields[epoch]', 'epoch'), BarColumn(28, table_column=Column('all rounds')),
            _text('fields[validation]', 'validation'), _text('fields[test]', 'test'),
            console=console, transient=True, refresh_per_second=4)

    def make_tasks_table(self, tasks: 'Iterable[Task]') -> Table:
        """rich's table of bars, with a title and headings."""

        table = super().make_tasks_table(tasks)
        table.title, table.title_justify, table.show_header = f'{self._title}  {self._time}', 'left', True
        table.padding = (0, 2, 0, 0)
        return table


def _text(field: str, heading: str) -> TextColumn:
    column = Column(heading, justify='right', no_wrap=True)
    return TextColumn(f'{{task.{field}}}', justify='right', markup=False, table_column=column)


class _Report(NamedTuple):
    """How many steps of a seed were done at a time."""

    time: float
    steps: int


class _SeedReports(NamedTuple):
    """Reports about a seed: `base`, from which its speed is measured, and the latest, the `number`-th."""

    base: _Report
    latest: _Report
    number: int = 1

    def with_report(self, report: _Report) -> '_SeedReports':
        """These reports and another one. The third one makes the second one the base. One without further steps does
        not count: training starts after it.
        """

        if report.steps == self.latest.steps:
            return self
        return _SeedReports(self.latest if self.number == 2 else self.base, report, self.number + 1)


class _RemainingTime:
    """Elapsed time, and an estimate of the remaining time. As text: `elapsed 1:00, about 41:44 left`.

    The first steps of a seed include the start of its training: processes, compiled code, caches of images. So the
    speed of a seed is measured from its second report on, and from the first one as long as no third one came.
    """

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps
        self._start = time.monotonic()
        self._seeds: dict[int, _SeedReports] = {}

    def update(self, seed: int, steps: int) -> None:
        """Count the steps of a seed. The first report of a resumed run contains steps of earlier sessions."""

        report = _Report(time.monotonic(), steps)
        self._seeds[seed] = self._seeds[seed].with_report(report) if seed in self._seeds else (
            _SeedReports(report, report))

    def __str__(self) -> str:
        now = time.monotonic()
        # Bars are drawn in a thread of their own, so take a copy first.
        seeds = list(self._seeds.values())
        elapsed = f'elapsed {duration(now - self._start)}'
        done = sum(seed.latest.steps - seed.base.steps for seed in seeds)
        since = min((seed.base.time for seed in seeds), default=now)
        left = self._total - sum(seed.latest.steps for seed in seeds)
        if not done or not left or now - since < _SECONDS_BEFORE_ESTIMATE:
            return elapsed
        return f'{elapsed}, about {duration((now - since) / done * left)} left'
