"""The events of a task, on their way from a node to whoever follows the task: lines of JSON in a file of the run.

The node appends, also after the task was queued again. Readers keep their place in the file.
"""
import contextlib
import json
import time
from pathlib import Path
from typing import Any, Literal

from lth.errors import LthError
from lth.experiments.reporter import SeedProgress
from lth.runs.stored import Count, Share, Stored, validate_stored
from lth.system.json_text import parse_json

# A file on a network is read about as often. Measurements and rounds are written at once.
_SECONDS_BETWEEN_PROGRESS = 2.
_MOST_BYTES = 2 ** 22


class StoredProgress(Stored):
    """A SeedProgress without its measurement, which the node logs itself."""

    seeds: list[Count]
    number: Count
    step: Count
    validation: list[Share] = []
    test: list[Share] = []
    saved: bool = False
    checkpoint: bool = False

    def progress(self, seeds: tuple[int, ...]) -> SeedProgress | None:
        """The progress of these seeds; None if it is of other ones."""

        rows = [row for row, seed in enumerate(self.seeds) if seed in seeds]
        if not rows:
            return None
        validation, test = (tuple(values[row] for row in rows) if values else ()
                            for values in (self.validation, self.test))
        return SeedProgress(tuple(self.seeds[row] for row in rows), self.number, self.step, validation, test,
                            self.saved, self.checkpoint)


class StoredFailure(Stored):
    """The LthError of a task, or a bug of lth, whose traceback is in the log of the job."""

    message: str
    exit_code: int
    traceback: str = ''
    is_bug: bool = False


class TaskEvent(Stored):
    """A line: the task starts as this job on this host, after so many `restarts`; a note; progress; the task was asked
    to end and is queued again; or its end.
    """

    kind: Literal['start', 'note', 'progress', 'stop', 'end']
    job: str = ''
    host: str = ''
    restarts: Count = 0
    text: str = ''
    progress: StoredProgress | None = None
    failure: StoredFailure | None = None


class EventWriter:
    """Appends events to the file of a task. A Reporter. Events that cannot be written are lost, and do not end the
    training.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = float('-inf')
        self.has_saved = False

    def write(self, event: TaskEvent) -> None:
        """Append an event."""

        line = json.dumps(event.model_dump(exclude_defaults=True))
        # The line before may be incomplete, if its writer was killed.
        start = '\n' if event.kind == 'start' else ''
        with contextlib.suppress(OSError), open(self._path, 'a', encoding='utf-8') as file:
            file.write(f'{start}{line}\n')

    def message(self, text: str) -> None:
        """Write a note."""

        self.write(TaskEvent(kind='note', text=text))

    def progress(self, progress: SeedProgress) -> None:
        """Write progress, unless it follows the last one too soon and nothing was measured or saved."""

        self.has_saved |= progress.checkpoint
        if progress.test or progress.checkpoint or time.monotonic() - self._last >= _SECONDS_BETWEEN_PROGRESS:
            self._write_progress(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        """Write that a round is on disk."""

        self.has_saved = True
        self._write_progress(progress)

    def _write_progress(self, progress: SeedProgress) -> None:
        self._last = time.monotonic()
        fields = {key: list(value) if isinstance(value, tuple) else value for key, value in progress._asdict().items()
                  if key != 'measurement'}
        self.write(TaskEvent(kind='progress', progress=StoredProgress.model_validate(fields)))


class EventReader:
    """Reads the events that were appended since the last call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[TaskEvent]:
        """The new events. Lines that a killed process left incomplete are skipped."""

        events = list[TaskEvent]()
        while lines := self._lines():
            events += filter(None, map(_parse, lines))
        return events

    def _lines(self) -> list[bytes]:
        """The next complete lines."""

        try:
            with open(self._path, 'rb') as file:
                file.seek(self._position)
                content = file.read(_MOST_BYTES)
        except OSError:
            return []
        complete = content[:content.rfind(b'\n') + 1]
        self._position += len(complete)
        return complete.splitlines()


def _parse(line: bytes) -> TaskEvent | None:
    try:
        value: Any = parse_json(line, 'event')
        return validate_stored(TaskEvent, value, 'event', '')
    except LthError:
        return None
