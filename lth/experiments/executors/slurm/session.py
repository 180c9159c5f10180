"""Tasks as jobs of Slurm: those that wait to be submitted, and those that are followed until they end."""
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.protocol import Ended, Event, Task
from lth.experiments.executors.slurm import task_file
from lth.experiments.executors.slurm.followed_task import FollowedTask
from lth.experiments.executors.slurm.submission import Jobs
from lth.system import signals

# Files of events are looked at about as often.
_SECONDS_BETWEEN_READS = 0.5
_SECONDS_BETWEEN_SIGNALS = 0.1
_MOST_TRIES = 3
# This process holds no locks for tasks, so it can follow all of a sweep.
_MOST_TASKS = 100_000


class SlurmSession:
    """See Session. Tasks that are submitted together become one job array, of at most `array_size` jobs. At its end all
    jobs continue.
    """

    def __init__(self, jobs: Jobs, array_size: int, poll_seconds: int) -> None:
        self.capacity = _MOST_TASKS
        self._jobs = jobs
        self._array_size = array_size
        self._poll_seconds = poll_seconds
        self._waiting: list[Task] = []
        self._followed: list[FollowedTask] = []
        self._last_poll = float('-inf')
        self._answers = True
        self._tries: dict[Task, int] = {}
        self._notes: set[tuple[Path, str]] = set()

    def submit(self, task: Task) -> None:
        """See Session. A task that is in the queue already is followed."""

        self._waiting.append(task)

    def events(self) -> Iterator[tuple[Task, Event]]:
        """See Session. A signal ends only this process."""

        while self._waiting or self._followed:
            yield from self._start_waiting()
            for followed in list(self._followed):
                yield from self._events_of(followed)
            if self._followed and time.monotonic() - self._last_poll >= self._poll_seconds:
                yield from self._look_at_jobs()
            end = time.monotonic() + _SECONDS_BETWEEN_READS
            while self._followed and time.monotonic() < end:
                signals.check()
                time.sleep(_SECONDS_BETWEEN_SIGNALS)

    def _events_of(self, followed: FollowedTask) -> Iterator[tuple[Task, Event]]:
        """The new events of a task, which is no longer followed if it has ended or is lost."""

        for event in followed.events():
            yield followed.task, event
            if isinstance(event, Ended):
                self._followed.remove(followed)
        if followed.is_lost:
            self._followed.remove(followed)
            yield from self._try_again(followed)

    def _try_again(self, followed: FollowedTask) -> Iterator[tuple[Task, Event]]:
        """Submit a lost task again, unless this was done several times and nothing was saved."""

        task = followed.task
        self._tries[task] = 1 if followed.has_saved else self._tries.get(task, 1) + 1
        if self._tries[task] <= _MOST_TRIES:
            self._waiting.append(task)
            return
        yield task, Ended(LthError(
            f'{task.name}: Slurm ended its jobs {_MOST_TRIES} times before anything was saved. Look at the nodes with '
            '`sinfo`, or choose others, and run the same command again.', exit_code=ENVIRONMENT_ERROR))

    def _start_waiting(self) -> Iterator[tuple[Task, Event]]:
        """Follow the waiting tasks: those in the queue, and the others once they are submitted."""

        waiting, self._waiting = self._waiting, []
        known = self._jobs.known() if any(task_file.task_folders(task.target.folder) for task in waiting) else {}
        new = []
        for task in waiting:
            found = task_file.live_folder(task, known)
            if isinstance(found, LthError):
                yield task, Ended(found)
            elif found:
                self._followed.append(FollowedTask(task, found, self._jobs, self._notes))
                number = known[found.key, found.index].number
                yield task, f'{task.name}: Slurm job {number} is in the queue already, and is followed.'
            else:
                new.append(task)
        for start in range(0, len(new), self._array_size):
            yield from self._submit(new[start:start + self._array_size])

    def _submit(self, tasks: list[Task]) -> Iterator[tuple[Task, Event]]:
        """Submit an array. Its name is that of the folders of its tasks."""

        name = f'lth-{secrets.token_hex(4)}'
        runs = [task.target.folder.absolute() for task in tasks]
        files = Path(os.path.commonpath(runs)) / task_file.FOLDER / name
        folders = [task_file.folder_of(run, name, index) for index, run in enumerate(runs)]
        for folder, task in zip(folders, tasks, strict=True):
            task_file.write_task(folder, task, files, minutes=self._jobs.settings.minutes)
        try:
            self._jobs.submit(name, files, [folder.path for folder in folders])
        except LthError:
            _remove([files, *(folder.path for folder in folders)])
            raise
        for task, folder in zip(tasks, folders, strict=True):
            self._followed.append(FollowedTask(task, folder, self._jobs, self._notes))
        jobs = '1 job' if len(tasks) == 1 else f'an array of {len(tasks)} jobs'
        yield tasks[0], (f'Submitted {jobs} with the name {name}. They continue if this command ends, and the same '
                         f'command follows them again. To cancel them: scancel --name={name}')

    def _look_at_jobs(self) -> Iterator[tuple[Task, Event]]:
        """Learn the states of the jobs. A Slurm that does not answer is asked again."""

        self._last_poll = time.monotonic()
        try:
            known = self._jobs.known()
        except LthError as error:
            if self._answers:
                yield self._followed[0].task, f'Note: {error} Until then the jobs are followed by their files.'
            self._answers = False
            return
        self._answers = True
        for followed in self._followed:
            followed.look_at(known)


def _remove(folders: Sequence[Path]) -> None:
    """Remove folders, and those above them, up to that of the run, which are empty then."""

    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
