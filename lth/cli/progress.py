"""What a person sees while a run goes on: a live table on a terminal, a line per round and now and then elsewhere."""
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress import Progress
from rich.progress_bar import ProgressBar
from rich.table import Table

from lth.cli.options import err

if TYPE_CHECKING:
    from lth.experiments.plan import Plan
    from lth.experiments.reporter import SeedProgress

_SECONDS_BETWEEN_LINES = 30.
_SECONDS_UNTIL_A_GUESS = 2.


class ProgressDisplay:
    """Takes news, shows how far each seed is and how much time is left; a context manager."""

    def __init__(self, plan: 'Plan', seeds: Sequence[int]) -> None:
        self._plan = plan
        self._news: dict[int, SeedProgress] = {}
        self._accuracies: dict[int, tuple[float, float]] = {}
        self._seeds = seeds
        self._begun: dict[int, int] = {}
        self._start = self._pace_since = self._last_line = time.monotonic()
        self._live = (Live(console=err, get_renderable=self._table, refresh_per_second=4, transient=True)
                      if err.is_terminal else None)

    def __enter__(self) -> 'ProgressDisplay':
        if self._live:
            self._live.start()
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def message(self, text: str) -> None:
        """Prints a line that stays."""

        err.print(text, highlight=False, markup=False, soft_wrap=True)

    def progress(self, progress: 'SeedProgress') -> None:
        """Takes news of some seeds."""

        news = progress
        for position, seed in enumerate(news.seeds):
            if seed not in self._begun:
                self._begun[seed] = self._done(news)
                self._pace_since = time.monotonic()
            # Last: the table is drawn by a thread of its own.
            self._news[seed] = news
            if news.validation:
                self._accuracies[seed] = news.validation[position], news.test[position]
        now = time.monotonic()
        if not self._live and (news.saved or now - self._last_line > _SECONDS_BETWEEN_LINES):
            self._last_line = now
            for position, seed in enumerate(news.seeds):
                err.print(f'{self._line(seed, saved=news.saved)}  {self._clock()}', highlight=False, soft_wrap=True)

    def round_saved(self, progress: 'SeedProgress') -> None:
        """Show the latest progress of some seeds."""

        self.progress(progress)

    def _line(self, seed: int, *, saved: bool) -> str:
        """One seed's whereabouts as plain text."""

        news = self._news[seed]
        density = self._plan.network.layout.density(self._plan.kept[news.number])
        where = f'seed {seed}  round {news.number}/{len(self._plan.kept) - 1}  {density:.2%} of weights'
        accuracy = f'  test {self._accuracies[seed][1]:.2%}' if seed in self._accuracies else ''
        return where + ('  done' if saved else f'  epoch {self._epoch(news.step)}') + accuracy

    def _table(self) -> Table:
        """One seed a row, with a bar over all of its rounds."""

        title = f'{self._plan.recipe.model.name} on {self._plan.recipe.data.name}  {self._clock()}'
        table = Table(box=None, pad_edge=False, title=title, title_justify='left')
        for heading in ('seed', 'round', 'weights', 'epoch', 'whole search', 'validation', 'test'):
            table.add_column(heading, justify='left' if heading == 'whole search' else 'right')
        for seed in self._seeds:
            if seed not in self._news:
                continue
            news = self._news[seed]
            density = self._plan.network.layout.density(self._plan.kept[news.number])
            scores = [f'{share:.2%}' for share in self._accuracies.get(seed, ())] or ['', '']
            table.add_row(
                str(seed), f'{news.number}/{len(self._plan.kept) - 1}', f'{density:.2%}', self._epoch(news.step),
                ProgressBar(max(1, self._total), self._done(news), width=28), *scores)
        return table

    @property
    def _total(self) -> int:
        return self._plan.total_steps

    def _done(self, news: 'SeedProgress') -> int:
        """Steps of the whole search that lie behind a seed."""

        return self._plan.steps_done(news.number, news.step)

    def _epoch(self, step: int) -> str:
        epochs = self._plan.steps / self._plan.steps_per_epoch
        if epochs < 1:
            return f'{step}/{self._plan.steps} steps'
        return f'{step / self._plan.steps_per_epoch:.1f}/{epochs:.3g}'

    def _clock(self) -> str:
        """Time gone by, and time left at the pace so far."""

        now = time.monotonic()
        latest = dict(self._news)
        done = sum(self._done(news) - self._begun[seed] for seed, news in latest.items())
        left = self._total * len(self._seeds) - sum(map(self._done, latest.values()))
        pace = now - self._pace_since
        guess = f', about {duration(pace / done * left)} left' if done and pace > _SECONDS_UNTIL_A_GUESS else ''
        return f'{duration(now - self._start)} gone{guess}'


class CountDisplay:
    """How many of how many things are done: a bar on a terminal, a line now and then elsewhere; a context manager."""

    def __init__(self, things: str) -> None:
        self._things = things
        self._start = self._last_line = time.monotonic()
        self._bar = Progress(console=err, transient=True) if err.is_terminal else None
        self._task = self._bar.add_task(things, total=None) if self._bar else None

    def __enter__(self) -> 'CountDisplay':
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def tell(self, done: int, total: int) -> None:
        """Takes news."""

        now = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif done == total or now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            err.print(f'{done:,} of {total:,} {self._things}  {duration(now - self._start)} gone', highlight=False)


def duration(seconds: float) -> str:
    """Seconds as people read a clock."""

    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
