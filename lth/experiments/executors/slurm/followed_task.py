"""A task that a job trains, followed by its events and by the state of the job."""
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from lth.errors import LthError
from lth.experiments.executors.protocol import Ended, Event, Task
from lth.experiments.executors.slurm import job_failures
from lth.experiments.executors.slurm.event_file import EventReader, StoredFailure, TaskEvent
from lth.experiments.executors.slurm.queue import Job
from lth.experiments.executors.slurm.submission import Jobs
from lth.experiments.executors.slurm.task_file import TaskFolder

# After the end of a job, its last events may still be on their way through the file system.
_SETTLE_SECONDS = 5.


class FollowedTask:
    """The events of a task, until it has ended or is lost: then its job ended before its time, and another one may
    train the task further. `notes` are those that tasks had before, by the folders of their runs: each task says how it
    is trained.
    """

    def __init__(self, task: Task, folder: TaskFolder, jobs: Jobs, notes: set[tuple[Path, str]]) -> None:
        self.task = task
        self.is_lost = False
        self.has_saved = False
        self._folder = folder
        self._jobs = jobs
        self._notes = notes
        self._reader = EventReader(folder.events)
        self._place = ''
        self._number = ''
        self._ended: float | None = None
        self._job: Job | None = None

    def look_at(self, known: Mapping[tuple[str, int], Job]) -> None:
        """Learn the state of the job."""

        self._job = known.get((self._folder.key, self._folder.index))
        if self._job and self._job.is_alive:
            self._ended = None
        elif self._ended is None:
            self._ended = time.monotonic()

    def events(self) -> Iterator[Event]:
        """The new events; an Ended is the last one."""

        for event in self._reader.read():
            yield from self._translated(event)
            if event.kind == 'end':
                return
        if self._ended is not None and time.monotonic() - self._ended >= _SETTLE_SECONDS:
            yield from self._verdict()

    def _translated(self, event: TaskEvent) -> Iterator[Event]:
        match event.kind:
            case 'start':
                self._number = event.job
                self._place = f'Slurm job {event.job} on {event.host}' if event.job else event.host
                if event.restarts:
                    yield f'{self.task.name}: {self._place} resumes.'
            case 'note':
                yield from self._note(event.text)
            case 'progress':
                yield from self._progress(event)
            case 'stop':
                yield f'{self.task.name}: {self._place} {event.text}. It is queued again, and resumes then.'
            case 'end':
                yield Ended(self._error(event.failure) if event.failure else None)

    def _note(self, text: str) -> Iterator[Event]:
        note = self.task.target.folder, text
        if note not in self._notes:
            self._notes.add(note)
            yield text

    def _progress(self, event: TaskEvent) -> Iterator[Event]:
        if event.progress and (progress := event.progress.progress(self.task.seeds)):
            self.has_saved |= progress.saved or progress.checkpoint
            yield progress

    def _error(self, failure: StoredFailure) -> LthError | RuntimeError:
        if failure.is_bug:
            return RuntimeError(f'{self.task.name} failed in {self._place}; the traceback is in {self._log()}')
        error = LthError(failure.message, exit_code=failure.exit_code)
        error.traceback = failure.traceback
        return error

    def _verdict(self) -> Iterator[Event]:
        """What became of a task whose job has ended without saying so."""

        job = self._job or (self._number and self._jobs.forgotten(self._folder.key, self._folder.index, self._number))
        code = self._jobs.exit_code(job) if job else ''
        if job and job_failures.is_lost(job, code, has_saved=self.has_saved):
            self.is_lost = True
            yield f'{self.task.name}: Slurm ended job {job.number} ({job.state}).'
        else:
            yield Ended(job_failures.job_error(self.task.name, job or None, code, self._log()))

    def _log(self) -> Path:
        """The log of the job."""

        number = self._job.number if self._job else self._number
        return Path(self._folder.stored().submission) / f'{number}_0_log.out'
