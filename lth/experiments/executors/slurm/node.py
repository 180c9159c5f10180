"""What a job of Slurm does on its node: train one task, report it in the file of its events, and be queued again when
it is asked to end.

Slurm asks by SIGTERM if another job needs the node, and by SIGUSR2 some time before the job's time limit. Both save a
checkpoint, from which the job resumes when it starts again.
"""
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lth.errors import BUG, USER_ERROR, LthError
from lth.experiments import provenance
from lth.experiments.executors.protocol import Task
from lth.experiments.executors.slurm import queue, task_file
from lth.experiments.executors.slurm.event_file import EventWriter, StoredFailure, TaskEvent
from lth.experiments.executors.slurm.task_file import TaskFolder
from lth.experiments.plan import make_plan
from lth.experiments.runner import run_plan
from lth.registry import trust
from lth.runs import run_locks
from lth.system import cluster_job, signal_handlers, signals

# The exit code with which a process of submitit's local executor asks to be started again.
_LOCAL_REQUEUE = 144
_ANSWER_SECONDS = 60
# A file system holds the locks of a process for a while after its node has failed.
_LOCK_SECONDS = 180
# Slurm kills a job at the latest so long after it was asked to end.
_KILL_SECONDS = 3600


def run_task(path: str) -> None:
    """Train the task in the folder with this path. Ends the process with the exit code of its error, if there is one.
    """

    folder = TaskFolder(Path(path))
    events, request = EventWriter(folder.events), _StopRequest()
    events.write(TaskEvent(kind='start', job=cluster_job.number() or '', host=socket.gethostname(),
                           restarts=cluster_job.restarts()))
    failure: StoredFailure | None = StoredFailure(message='a bug', exit_code=BUG, is_bug=True)
    try:
        failure = _train(folder, events, request)
    finally:
        if request.ends_job:
            events.write(TaskEvent(kind='end', failure=failure))
    if not request.ends_job:
        events.write(TaskEvent(kind='stop', text=request.reason))
        _queue_again()
    if failure:
        print(failure.message, file=sys.stderr)
        sys.exit(failure.exit_code)


class _StopRequest:
    """Whether the job was asked to end before its task was complete, and why."""

    def __init__(self) -> None:
        self.ends_job = True
        self.reason = 'was preempted'
        self.is_late = False
        self._start = time.monotonic()

    @contextlib.contextmanager
    def obeyed(self) -> Iterator[None]:
        """In this block, both signals raise Interrupted as soon as a checkpoint is saved. Afterwards they do nothing:
        the job decides how it ends.
        """

        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        with signal_handlers.recorded():
            signal.signal(signal.SIGUSR2, lambda _number, _frame: self._end_late())
            yield

    def _end_late(self) -> None:
        self.is_late, self.reason = True, 'reached its time limit'
        signal.raise_signal(signal.SIGTERM)

    def failure(self, *, has_saved: bool, minutes: int) -> StoredFailure | None:
        """Why the job is not queued again, after it was interrupted; None if it is."""

        # A cluster may send the signal of the time limit also before a preemption.
        too_short = self.is_late and not has_saved and time.monotonic() - self._start > 30 * minutes
        self.ends_job = too_short
        if not too_short:
            return None
        return StoredFailure(
            message=f'A job of {minutes} minutes is too short: it ended before anything was saved, and would never '
                    'get further. Raise the time limit of jobs (--executor-set time=...), and do not switch '
                    f'checkpoints off.{_place()}', exit_code=USER_ERROR)


def _train(folder: TaskFolder, events: EventWriter, request: _StopRequest) -> StoredFailure | None:
    """Train the task, and return its error, None if it is complete or interrupted."""

    minutes = 0
    try:
        with request.obeyed():
            stored = folder.stored()
            minutes = stored.minutes
            _enter(Path(stored.directory), stored.command)
            _train_seeds(task_file.read_task(stored), events)
    except LthError as error:
        return StoredFailure(message=f'{error}{_place()}', exit_code=error.exit_code, traceback=error.traceback)
    except signals.Interrupted:
        return request.failure(has_saved=events.has_saved, minutes=minutes)
    return None


def _enter(directory: Path, command: list[str]) -> None:
    """Let this process be like the one of the command, in whose folder code of the user is found."""

    try:
        os.chdir(directory)
    except OSError as error:
        raise LthError(f'{directory}, in which the command was given, cannot be entered: {error.strerror}. Slurm needs '
                       'a file system that all nodes share: give the command in a folder of it.') from None
    sys.argv = command
    sys.path.insert(0, str(directory))


def _train_seeds(task: Task, events: EventWriter) -> None:
    trust.set_current(task.target.trusted)
    plan = make_plan(task.recipe, 'recipe.yaml')
    provenance.refuse_changed_inputs(task.expected, provenance.code_inputs(plan), task.seeds)
    _wait_for_locks(task)
    run_plan(plan, task.target, task.seeds, events)


def _wait_for_locks(task: Task) -> None:
    """Wait a while if this job holds a lock already: before it started again, on a node that failed."""

    job, end = cluster_job.in_words(), time.monotonic() + _LOCK_SECONDS
    while job and time.monotonic() < end:
        holders = run_locks.seeds_in_training(task.target.folder)
        if not any(f'{job},' in holder for seed, holder in holders.items() if seed in task.seeds):
            return
        time.sleep(1)


def _place() -> str:
    """Where this process runs, as the last sentence of an error."""

    job = cluster_job.in_words()
    return f' ({socket.gethostname()}, {job})' if job else f' ({socket.gethostname()})'


def _queue_again() -> None:
    """End this job and let it start again. A job that Slurm is ending already only ends: it is cancelled, or it is
    queued again anyway. Where Slurm does not say, wait for what it does.
    """

    job = os.environ.get('SLURM_JOB_ID')
    if os.environ.get('SUBMITIT_EXECUTOR') != 'slurm' or job is None:
        sys.exit(_LOCAL_REQUEUE)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    state = queue.job_state(job, seconds=_ANSWER_SECONDS)
    if state == 'RUNNING':
        with contextlib.suppress(LthError):
            queue.ask(['scontrol', 'requeue', job], seconds=_ANSWER_SECONDS)
    if state in ('', 'RUNNING'):
        time.sleep(_KILL_SECONDS)
    sys.exit(128 + signal.SIGTERM)
