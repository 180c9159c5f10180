"""Logs of measurements in other programs, written while a run is trained: `--log tensorboard`, `--log trackio`.

To add one, write a file here with a class like those of tensorboard.py, and add a line to `_LOGS`.
"""
import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from lth.errors import LthError, quote, suggestion
from lth.experiments.reporter import Reporter, SeedProgress
from lth.recipes.flat_settings import flat_settings
from lth.runs.folder import Run
from lth.runs.round_record import RoundRecord

# Name -> the module whose function `open_log` opens the log of a run, and the package that it needs.
_LOGS = {'tensorboard': ('lth.experiments.metric_logs.tensorboard', 'tensorboard'),
         'trackio': ('lth.experiments.metric_logs.trackio', 'trackio')}


class MetricLog(Protocol):
    """Receives the measurements of a run."""

    def measured(self, seed: int, number: int, iteration: int, values: dict[str, float]) -> None:
        """A round of a seed was measured. Values have names such as `loss/test`."""

    def round_saved(self, seed: int, number: int, settings: dict[str, Any], results: dict[str, float]) -> None:
        """A round of a seed is complete: its settings, with seed and density, and its results."""

    def close(self) -> None:
        """The session ends."""


def require_logs(names: Sequence[str]) -> None:
    """LthError for the name of a log that is unknown, or whose package is not installed."""

    for name in names:
        if name not in _LOGS:
            raise LthError(f'--log: {quote(name)} is not a log{suggestion(name, _LOGS)}')
        _, package = _LOGS[name]
        if importlib.util.find_spec(package) is None:
            raise LthError(f"--log {name} needs the package {package}. Install it with: pip install 'lth[{package}]'")


class LoggedReporter:
    """A Reporter that passes all reports on, and measurements and results to logs. A log that cannot be written is
    reported once and then left out: training goes on.
    """

    def __init__(self, run: Run, reporter: Reporter, logs: Sequence[MetricLog]) -> None:
        self._run = run
        self._reporter = reporter
        self._logs = list(logs)
        self.message = reporter.message

    def progress(self, progress: SeedProgress) -> None:
        """Log a measurement, if this is one."""

        if measured := progress.measurement:
            for row, seed in enumerate(progress.seeds):
                parts = {'train': measured.train, 'validation': measured.validation, 'test': measured.test}
                values = {f'{metric}/{split}': getattr(part, metric)[row] for split, part in parts.items() if part
                          for metric in ('loss', 'accuracy')}
                self._each(lambda log: log.measured(  # called at once
                    seed, progress.number, measured.iteration, values))  # pylint: disable=cell-var-from-loop
        self._reporter.progress(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        """Log the settings and results of the round."""

        for seed in progress.seeds if self._logs else ():
            record = self._run.record(seed, progress.number)
            settings = {**flat_settings(self._run.recipe), 'seed': seed, 'round': progress.number,
                        'density': record.density}
            self._each(lambda log: log.round_saved(
                seed, progress.number, settings, _results(record)))  # pylint: disable=cell-var-from-loop
        self._reporter.round_saved(progress)

    def close(self) -> None:
        """Close all logs."""

        self._each(lambda log: log.close())

    def _each(self, act: Callable[[MetricLog], None]) -> None:
        for log in list(self._logs):
            try:
                act(log)
            except OSError as error:
                self._logs.remove(log)
                self.message(f'Note: the measurements are no longer logged: {error}.')


@contextlib.contextmanager
def logged(run: Run, reporter: Reporter, names: Sequence[str]) -> Iterator[LoggedReporter]:
    """A reporter that also writes these logs, which are closed after the block."""

    modules = [importlib.import_module(_LOGS[name][0]) for name in dict.fromkeys(names)]
    reporting = LoggedReporter(run, reporter, [module.open_log(run) for module in modules])
    try:
        yield reporting
    finally:
        reporting.close()


def _results(record: RoundRecord) -> dict[str, float]:
    return {'test_accuracy': record.test_accuracy, 'early_stop_iteration': record.early_stop.iteration,
            'early_stop_accuracy': record.early_stop.test_accuracy}
