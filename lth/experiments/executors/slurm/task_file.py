"""A task as a file of its run: RUN/slurm/KEY-INDEX/task.json, which a node reads, and later commands find.

KEY is the name of the job, so a task is found in Slurm's queue by the name of its folder, even if the command that
submitted it was killed before it knew the number of the job.
"""
import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lth import __version__
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.executors.protocol import Task
from lth.experiments.executors.slurm.event_file import EventReader
from lth.experiments.executors.slurm.queue import Job
from lth.experiments.run_target import RunTarget
from lth.runs.stored import Count, ShortText, Stored, validate_stored
from lth.system import files
from lth.system.json_text import read_json

FOLDER = 'slurm'
_TASK, _EVENTS = 'task.json', 'events.jsonl'
_MOST_BYTES = 2 ** 20
_TARGET = TypeAdapter(RunTarget)
_ADVICE = 'Run the same command again, which submits the task again.'


class StoredTask(Stored):
    """A task, the version of lth and the command that submitted it, its folder, and that of submitit's files."""

    lth: ShortText
    directory: str
    command: list[str]
    submission: str
    minutes: Count
    name: ShortText
    seeds: list[Count]
    recipe: dict[str, Any]
    target: dict[str, Any]
    expected: dict[str, Any]


@dataclass(frozen=True)
class TaskFolder:
    """The folder of a task in its run."""

    path: Path

    @property
    def key(self) -> str:
        """The name of the job."""

        return self.path.name.rpartition('-')[0]

    @property
    def index(self) -> int:
        """The place of the task in the job array."""

        return int(self.path.name.rpartition('-')[2])

    @property
    def events(self) -> Path:
        """The file of its events."""

        return self.path / _EVENTS

    def stored(self) -> StoredTask:
        """What is in its file. LthError if it is damaged, or of another version of lth."""

        raw = read_json(self.path / _TASK, at_most=_MOST_BYTES, advice=_ADVICE)
        version = raw.get('lth') if isinstance(raw, dict) else None
        if version != __version__:
            raise LthError(f'{self.path} was submitted by lth {version}, and this is lth {__version__}. Tasks and the '
                           'commands that follow them need the same version: install it on all nodes, or cancel the '
                           'job with scancel and run the same command again.')
        return validate_stored(StoredTask, raw, str(self.path / _TASK), _ADVICE)

    def has_ended(self) -> bool:
        """Whether its last event is its end."""

        events = EventReader(self.events).read()
        return bool(events) and events[-1].kind == 'end'


def folder_of(run: Path, key: str, index: int) -> TaskFolder:
    """The folder of a new task."""

    return TaskFolder(run / FOLDER / f'{key}-{index}')


def task_folders(run: Path) -> list[TaskFolder]:
    """The folders of all tasks of a run that were submitted to Slurm."""

    paths = (run / FOLDER).glob('lth-*-*')
    return [TaskFolder(path) for path in sorted(paths) if re.fullmatch(r'lth-[0-9a-f]+-\d+', path.name)]


def live_folders(run: Path, jobs: Mapping[tuple[str, int], Job]) -> Iterator[tuple[TaskFolder, Job]]:
    """The folders of tasks of a run that have not ended, each with the one of the jobs that trains or will train it."""

    for folder in task_folders(run):
        job = jobs.get((folder.key, folder.index))
        if job and job.is_alive and not folder.has_ended():
            yield folder, job


def live_folder(task: Task, jobs: Mapping[tuple[str, int], Job]) -> TaskFolder | LthError | None:
    """The folder of a task of the run that trains the same seeds, and that one of the jobs trains or will train; None
    if there is none. An error if it trains them with another recipe, or together with only some of the seeds.
    """

    for folder, job in live_folders(task.target.folder, jobs):
        stored = folder.stored()
        common = set(stored.seeds) & set(task.seeds)
        if common and stored.recipe | {'source': ''} == task.recipe | {'source': ''} and common == set(task.seeds):
            return folder
        if common:
            return LthError(
                f'{task.name}: Slurm job {job.number} is in the queue for {task.target.folder}, with another recipe or '
                f'other seeds. Wait until it ends, cancel it with `scancel {job.number}`, or choose another folder '
                'with --run.', exit_code=ENVIRONMENT_ERROR)
    return None


def write_task(folder: TaskFolder, task: Task, submission: Path, *, minutes: int) -> None:
    """Write the file of a task, whose job may take these minutes. On the node its seeds are trained in one process.
    """

    target = dataclasses.replace(task.target, executor='local', executor_settings={}, in_process=True)
    content = {
        'lth': __version__, 'directory': os.getcwd(), 'command': sys.argv, 'submission': str(submission),
        'minutes': minutes, 'name': task.name, 'seeds': list(task.seeds), 'recipe': task.recipe,
        'target': _TARGET.dump_python(target, mode='json'), 'expected': task.expected}
    files.create_folder(folder.path)
    files.write(folder.path / _TASK, json.dumps(content, indent=2).encode())


def read_task(stored: StoredTask) -> Task:
    """The task, in the folder in which its command was given."""

    target = _TARGET.validate_python(stored.target)
    return Task(stored.recipe, target, tuple(stored.seeds), stored.expected, stored.name)
