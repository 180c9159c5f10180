"""The log of a session: every message, measurement and saved round, with the time, next to the file of the session.

    2026-11-27T10:31:25Z  seed 0  round 3  iteration 210  validation 95.10%  test 94.72%
"""
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lth.errors import LthError, describe
from lth.experiments.reporter import Reporter, SeedProgress
from lth.system.yaml_text import Raw


class SessionLog:
    """A Reporter that passes all reports on and logs them: in memory until something was saved, from then on in a file.
    So a session that saves nothing leaves no log. As a context manager it logs how the session ends.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lines: list[str] = []
        self._path: Path | None = None

    def message(self, text: str) -> None:
        """Log the sentence."""

        self._log(' '.join(text.split()))
        self._reporter.message(text)

    def progress(self, progress: SeedProgress) -> None:
        """Log a measurement or a checkpoint; other progress only passes."""

        if progress.test or progress.checkpoint:
            self._log_progress(progress, 'checkpoint' if progress.checkpoint else '')
        self._reporter.progress(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        """Log that the round is on disk."""

        self._log_progress(progress, 'round saved')
        self._reporter.round_saved(progress)

    def open(self, path: Path, entry: Raw) -> None:
        """Write what was logged so far, and all that follows, to the file of the session with this entry."""

        if self._path is None:
            command = f'Command: {shlex.join(entry["command"])}' if entry.get('command') else 'A program'
            start = datetime.fromisoformat(entry['start']).astimezone(UTC)
            self._lines.insert(0, _line(f'{command}, process {entry["process"]} on {entry["host"]}', start))
            self._path = path
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._log('All rounds of these seeds are complete.')
        elif isinstance(error, KeyboardInterrupt):
            self._log('Interrupted.')
        else:
            self._log(f'Ended by an error: {error if isinstance(error, LthError) else describe(error)}')

    def _log_progress(self, progress: SeedProgress, event: str) -> None:
        for number, seed in enumerate(progress.seeds):
            facts = [f'seed {seed}', f'round {progress.number}', f'iteration {progress.step}']
            facts += [f'validation {progress.validation[number]:.2%}'] if progress.validation else []
            facts += [f'test {progress.test[number]:.2%}'] if progress.test else []
            self._log('  '.join([*facts, event]).rstrip())

    def _log(self, text: str) -> None:
        self._lines.append(_line(text, datetime.now(UTC)))
        if self._path is not None:
            self._write()

    def _write(self) -> None:
        """Append the lines that are not in the file yet. Those that cannot be written are lost, as training goes on."""

        assert self._path is not None
        lines, self._lines = self._lines, []
        try:
            with open(self._path, 'a', encoding='utf-8', errors='backslashreplace') as file:
                file.writelines(lines)
        except OSError as error:
            self._reporter.message(f'Note: {self._path} cannot be written: {error.strerror or error}.')
            self._path = Path(os.devnull)  # said once


def _line(text: str, time: datetime) -> str:
    return f'{time:%Y-%m-%dT%H:%M:%SZ}  {text}\n'
