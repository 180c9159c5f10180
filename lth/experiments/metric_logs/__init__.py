"""Logs of measurements in other programs, written while a run is trained: `--log tensorboard`, `--log trackio`.

To add one, write a file here with a class like those of tensorboard.py, and add a line to `_LOGS`.
"""
import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from lth.errors import LthError, quote, suggestion
from lth.experiments.reporter import Reporter, SeedProgress
from lth.recipes.flat_settings import Setting, flat_settings
from lth.runs import seed_folders
from lth.runs.checkpoints import newest_checkpoint
from lth.runs.folder import Run
from lth.runs.round_record import RoundRecord

# Name -> the module whose function `open_log` opens the log of a folder, and the package that it needs.
_LOGS = {'tensorboard': ('lth.experiments.metric_logs.tensorboard', 'tensorboard'),
         'trackio': ('lth.experiments.metric_logs.trackio', 'trackio')}


class LoggedPart(NamedTuple):
    """A part of a run that has curves of its own, such as a round of a seed. `name` is a path, such as seed-0/round-07,
    and `settings` are what tells it from other parts.
    """

    name: str
    settings: Mapping[str, Setting]


@dataclass(frozen=True)
class LoggedFolder:
    """What is logged: the measurements of the run in `folder`, with the settings that all its parts have. `is_resumed`:
    whether an interrupted session has logged the beginning of the part with this name.
    """

    folder: Path
    settings: Mapping[str, Setting]
    is_resumed: Callable[[str], bool]


class MetricLog(Protocol):
    """Receives the measurements of a run."""

    def measured(self, part: LoggedPart, step: int, values: Mapping[str, float]) -> None:
        """A part was measured at a step. Values have names such as `loss/test`."""

    def completed(self, part: LoggedPart, density: float, results: Mapping[str, float]) -> None:
        """A part is complete: the density of its masks, and its results."""

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


class OpenLogs:
    """Passes what is measured on to logs. A log that cannot be written is reported once and then left out: training
    goes on.
    """

    def __init__(self, logs: Sequence[MetricLog], on_message: Callable[[str], None]) -> None:
        self._logs = list(logs)
        self._on_message = on_message

    def __bool__(self) -> bool:
        return bool(self._logs)

    def measured(self, part: LoggedPart, step: int, values: Mapping[str, float]) -> None:
        """A part was measured at a step."""

        self._each(lambda log: log.measured(part, step, values))

    def completed(self, part: LoggedPart, density: float, results: Mapping[str, float]) -> None:
        """A part is complete."""

        self._each(lambda log: log.completed(part, density, results))

    def close(self) -> None:
        """Close all logs."""

        self._each(lambda log: log.close())

    def _each(self, act: Callable[[MetricLog], None]) -> None:
        for log in list(self._logs):
            try:
                act(log)
            except OSError as error:
                self._logs.remove(log)
                self._on_message(f'Note: the measurements are no longer logged: {error}.')


class LoggedReporter:
    """A Reporter that passes all reports on, and measurements and results to logs."""

    def __init__(self, run: Run, reporter: Reporter, logs: OpenLogs) -> None:
        self._run = run
        self._reporter = reporter
        self._logs = logs
        self.message = reporter.message

    def progress(self, progress: SeedProgress) -> None:
        """Log a measurement, if this is one."""

        if measured := progress.measurement:
            for row, seed in enumerate(progress.seeds):
                parts = {'train': measured.train, 'validation': measured.validation, 'test': measured.test}
                values = {f'{metric}/{split}': getattr(part, metric)[row] for split, part in parts.items() if part
                          for metric in ('loss', 'accuracy')}
                self._logs.measured(_round_part(seed, progress.number), measured.iteration, values)
        self._reporter.progress(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        """Log the settings and results of the round."""

        for seed in progress.seeds if self._logs else ():
            record = self._run.record(seed, progress.number)
            self._logs.completed(_round_part(seed, progress.number), record.density, _results(record))
        self._reporter.round_saved(progress)


@contextlib.contextmanager
def opened_logs(
        folder: LoggedFolder, names: Sequence[str], on_message: Callable[[str], None]) -> Iterator[OpenLogs]:
    """The logs with these names, which are closed after the block."""

    modules = [importlib.import_module(_LOGS[name][0]) for name in dict.fromkeys(names)]
    logs = OpenLogs([module.open_log(folder) for module in modules], on_message)
    try:
        yield logs
    finally:
        logs.close()


@contextlib.contextmanager
def logged(run: Run, reporter: Reporter, names: Sequence[str]) -> Iterator[LoggedReporter]:
    """A reporter that also writes these logs, which are closed after the block."""

    folder = LoggedFolder(run.folder, flat_settings(run.recipe), lambda part: _has_checkpoint(run, part))
    with opened_logs(folder, names, reporter.message) as logs:
        yield LoggedReporter(run, reporter, logs)


def _round_part(seed: int, number: int) -> LoggedPart:
    name = seed_folders.round_folder(Path(), seed, number).as_posix()
    return LoggedPart(name, {'seed': seed, 'round': number})


def _has_checkpoint(run: Run, part: str) -> bool:
    """Whether the round of this part continues from a checkpoint."""

    seed, number = (int(name.split('-')[1]) for name in part.split('/'))
    return newest_checkpoint(run.checkpoint_folder(seed), number) is not None


def _results(record: RoundRecord) -> dict[str, float]:
    return {'test_accuracy': record.test_accuracy, 'early_stop_iteration': record.early_stop.iteration,
            'early_stop_accuracy': record.early_stop.test_accuracy}
