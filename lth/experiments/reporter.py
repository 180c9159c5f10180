"""Reports while a run is trained, and who receives them: the terminal, a program, or nobody.

A new receiver is a class with the three methods of Reporter.
"""
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

from lth.experiments.plan import Plan
from lth.training.state import Measurement


class SeedProgress(NamedTuple):
    """Where the training of some seeds is: round and iteration. After a measurement `validation` and `test` hold an
    accuracy for each seed. `saved` is True once the round is complete and on disk, and `checkpoint` if a checkpoint of
    it was just saved. `measurement` has all that was measured.
    """

    seeds: tuple[int, ...]
    number: int
    step: int
    validation: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    saved: bool = False
    checkpoint: bool = False
    measurement: Measurement | None = None


@runtime_checkable
class Reporter(Protocol):
    """Receives reports about one run. All calls come from the process and thread that called `run_plan`."""

    def message(self, text: str) -> None:
        """A sentence for the user, such as which engine trains the run."""

    def progress(self, progress: SeedProgress) -> None:
        """Some seeds have advanced; reported at each measurement, otherwise at most five times a second."""

    def round_saved(self, progress: SeedProgress) -> None:
        """A round of some seeds is complete and on disk."""


# Called with a plan and the seeds to train; what it returns reports about that run while it is entered.
OpenReporter = Callable[[Plan, Sequence[int]], AbstractContextManager[Reporter]]


class SilentReporter:
    """Ignores all reports. Also a context manager, as OpenReporter requires."""

    def __init__(self, _plan: Plan | None = None, _seeds: Sequence[int] = ()) -> None:
        """Takes what an OpenReporter takes."""

    def message(self, text: str) -> None:
        """Ignore the sentence."""

    def progress(self, progress: SeedProgress) -> None:
        """Ignore the progress."""

    def round_saved(self, progress: SeedProgress) -> None:
        """Ignore the round."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return


class LineReporter(SilentReporter):
    """Prints messages, and a line for each completed round of a seed. Lines that cannot be printed are lost.
    `table_round` returns the number by which tables show a round.
    """

    def __init__(self, table_round: Callable[[int], int] = int) -> None:
        super().__init__()
        self._table_round = table_round

    def message(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text)

    def round_saved(self, progress: SeedProgress) -> None:
        for seed, accuracy in zip(progress.seeds, progress.test, strict=True):
            self.message(f'seed {seed}  round {self._table_round(progress.number)}  test {accuracy:.2%}')


def seed_names(seeds: Sequence[int]) -> str:
    """The seeds in words, for messages: 'seed 3', or 'seeds 0, 1, 2'."""

    return f'seed {seeds[0]}' if len(seeds) == 1 else f'seeds {", ".join(map(str, seeds))}'


def forward(report: SeedProgress | str, reporter: Reporter) -> None:
    """Report progress, or a note, by the method that it belongs to."""

    if isinstance(report, str):
        reporter.message(report)
    elif report.saved:
        reporter.round_saved(report)
    else:
        reporter.progress(report)
