"""The worker on a node: it trains tasks, one after another, in a temporary copy of the run, and sends what it saves."""
import contextlib
import functools
import os
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError
from lth.experiments.executors.clusters.orders import Order, Parcel, SentCode
from lth.experiments.executors.protocol import Task
from lth.experiments.reporter import SeedProgress
from lth.experiments.seed_training import train_in_worker
from lth.registry import trust
from lth.registry.trust import Trust
from lth.runs import packed_folders, seed_folders
from lth.runs.checkpoints import newest_checkpoint
from lth.runs.packed_folders import PackedFolder
from lth.system import signals, temporary_folders

_DATASETS = 'LTH_DATASETS'
# A call that returns nothing after this time shows that the worker is alive.
_SECONDS_OF_SILENCE = 20.
# Rounds and checkpoints that wait to be fetched. Training waits for more, so they do not fill the memory.
_MOST_WAITING_FOLDERS = 2


class Saving:
    """The task was asked to end, and writes a checkpoint before."""


class TaskEnd(NamedTuple):
    """The task has ended: all rounds were handed over, it was stopped, it has an error, or a bug with this traceback.
    """

    error: LthError | None = None
    stopped: bool = False
    traceback: str = ''


class Message(NamedTuple):
    """What a task reports, with the folders of the run that have to be saved before it is passed on."""

    event: SeedProgress | str | Saving | TaskEnd
    folders: tuple[PackedFolder, ...] = ()


class Worker:
    """Trains tasks, one at a time, in a thread. Its methods are called from the machine that has the run folder."""

    def __init__(self) -> None:
        self._files = contextlib.ExitStack()
        self._root = self._files.enter_context(temporary_folders.create('lth-worker'))
        # One thread for all tasks: some settings of torch are those of a thread.
        self._training = ThreadPoolExecutor(1)
        self._messages: queue.Queue[Message] = queue.Queue()
        self._space = threading.Semaphore(_MOST_WAITING_FOLDERS)
        self._runs: set[Path] = set()

    def receive(self, parcels: Sequence[Parcel]) -> None:
        """Write folders of a run, before the task is started."""

        for parcel in parcels:
            run = self._copy(parcel.run)
            packed_folders.unpack(run, parcel.folder)
            self._runs.add(run)

    def start(self, order: Order) -> None:
        """Train a task; what it reports is returned by `next_messages`."""

        target = order.task.target
        trusted = self._use_code(order.code, target.trusted)
        target = replace(target, folder=self._copy(os.path.join(order.code.directory, target.folder)), trusted=trusted,
                         datasets=_datasets(Path(order.code.directory, target.datasets)))
        task = replace(order.task, target=target)
        future = self._training.submit(
            train_in_worker, task.recipe, target, task.seeds, task.expected, functools.partial(self._report, task))
        future.add_done_callback(self._end_task)

    def next_messages(self) -> list[Message]:
        """The messages that were not returned yet: at least one, unless none comes for a while."""

        messages = list[Message]()
        try:
            messages.append(self._messages.get(timeout=_SECONDS_OF_SILENCE))
            while True:
                messages.append(self._messages.get_nowait())
        except queue.Empty:
            pass
        for message in messages:
            if message.folders:
                self._space.release()
        return messages

    def stop(self, number: int) -> None:
        """Let the task save a checkpoint and end, as after a signal with this number."""

        signals.request(number, lambda: self._messages.put(Message(Saving())))

    def clean(self) -> None:
        """Remove all files; the process will be ended."""

        self._files.close()

    def _copy(self, path: str) -> Path:
        """Where this worker has the file or folder with an absolute path on the other machine."""

        return self._root / os.path.normpath(path).lstrip('/')

    def _use_code(self, code: SentCode, trusted: Trust) -> Trust:
        """Let this process find the code of the user: where the other machine has it if the same files are there, as on
        a common file system, else in copies. What may run: all names of the order.
        """

        is_there = os.path.isdir(code.directory) and all(_has_content(*file) for file in code.files.items())
        place = Path if is_there else self._copy
        if not is_there:
            for path, content in code.files.items():
                copy = self._copy(path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
        directory = place(code.directory)
        directory.mkdir(parents=True, exist_ok=True)
        os.chdir(directory)
        sys.path[:0] = [path for path in map(str, map(place, code.search_paths)) if path not in sys.path]
        trust.set_current(replace(trusted, names=frozenset()))
        for name in code.names:
            trust.add(name)
        return trust.current()

    def _report(self, task: Task, progress: SeedProgress | str) -> None:
        """Pass on what the task reports, together with what it has saved."""

        if isinstance(progress, str):
            self._messages.put(Message(self._with_real_paths(progress)))
            return
        folders = tuple(self._saved(task, progress))
        if folders:
            self._space.acquire()  # pylint: disable=consider-using-with # released when they were fetched
        self._messages.put(Message(progress, folders))

    def _saved(self, task: Task, progress: SeedProgress) -> list[PackedFolder]:
        """The round or checkpoint of which the progress says that it was saved, of each seed."""

        run, folders = task.target.folder, list[Path]()
        for seed in progress.seeds:
            checkpoint = newest_checkpoint(seed_folders.checkpoint_folder(run, seed), progress.number)
            if progress.saved:
                folders.append(seed_folders.round_folder(run, seed, progress.number))
            elif progress.checkpoint and checkpoint:
                folders.append(checkpoint.path)
        return [packed_folders.pack(run, folder) for folder in folders]

    def _end_task(self, training: Future[None]) -> None:
        """Report the end of a task, and remove its files."""

        error = training.exception()
        if error is None:
            end = TaskEnd()
        elif isinstance(error, LthError):
            end = TaskEnd(self._with_real_places(error))
        elif isinstance(error, signals.Interrupted):
            end = TaskEnd(stopped=True)
        else:
            end = TaskEnd(traceback=''.join(traceback.format_exception(error)))
        for run in self._runs:
            shutil.rmtree(run, ignore_errors=True)
        self._runs.clear()
        self._messages.put(Message(end))

    def _with_real_places(self, error: LthError) -> LthError:
        """The error with the paths of the other machine."""

        real = LthError(self._with_real_paths(str(error)), exit_code=error.exit_code)
        real.traceback = self._with_real_paths(error.traceback)
        return real

    def _with_real_paths(self, text: str) -> str:
        return text.replace(str(self._root), '')


@functools.cache
def current() -> Worker:
    """The worker of this process."""

    return Worker()


def _datasets(folder: Path) -> Path:
    """The folder of the data sets: where the other machine has it, or the one that this node names."""

    own = os.environ.get(_DATASETS)
    return Path(own) if own and not folder.is_dir() else folder


def _has_content(path: str, content: bytes) -> bool:
    try:
        return Path(path).read_bytes() == content
    except OSError:
        return False
