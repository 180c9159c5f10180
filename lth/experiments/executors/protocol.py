"""What an executor gets and what it reports: tasks, and for each of them its progress and its end.

A task is one group of seeds of one run that train together, from where the files of the run end to the last round.
"""
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch

from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress
from lth.experiments.run_target import RunTarget
from lth.recipes.section import Section
from lth.runs.folder import Run
from lth.system.yaml_text import Raw


@dataclass(frozen=True, eq=False)
class Task:
    """Seeds of a run to train together: the complete recipe, where and how, and the seeds. `expected` has fingerprints
    of the code and the images with which the command started; a task is refused where they are others. `name` is that
    of the task in messages, such as 'seed 3'.
    """

    recipe: Raw
    target: RunTarget
    seeds: tuple[int, ...]
    expected: Raw
    name: str


@dataclass(frozen=True)
class Ended:
    """The last event of a task: all its rounds are on disk, or an error. The error is an LthError if the user can fix
    it, such as a worker that was killed, and a RuntimeError for a bug of lth, whose traceback was printed.
    """

    error: LthError | RuntimeError | None = None


# Progress, a note for the user, or the end of a task.
Event = SeedProgress | str | Ended


class Session(Protocol):
    """An open executor, which takes tasks. The process that opens it holds the locks of their seeds, until they have
    ended. `capacity` is the number of tasks to submit before one ends: a few more than are trained at the same time, so
    that none of its places is idle.
    """

    @property
    def capacity(self) -> int:
        """Number of unfinished tasks that the session should have, if there are as many."""

    def submit(self, task: Task) -> None:
        """Train the missing rounds of the task as soon as there is a place for it."""

    def events(self) -> Iterator[tuple[Task, Event]]:
        """The events of all tasks, until all submitted ones have ended; one Ended for each. Tasks may be submitted
        meanwhile. If a signal asks this process to end (`signals.requested`), tasks are asked to save checkpoints,
        their last events follow, and `signals.check` raises Interrupted.
        """


class Executor(Section, ABC):
    """Where tasks are trained. The fields of a subclass are its settings (`--executor-set`), read like a section of a
    recipe. If `remote`, tasks may run on other machines than the process that prepares them. If `self_contained`, tasks
    hold the locks of their seeds, read and check images and code, and record their session themselves, as a run of
    these seeds does; so they may outlive the process that submitted them.
    """

    remote: ClassVar[bool] = True
    self_contained: ClassVar[bool] = False

    @abstractmethod
    def open(self, target: RunTarget) -> AbstractContextManager[Session]:
        """A session for tasks that are trained as this target says: with its device and number of threads. At its end
        nothing of it runs any more. LthError if there is no such cluster, or if it does not answer in time.
        """

    def leaves_to_caller(self, target: RunTarget, device: torch.device, *, tasks: int) -> bool:
        """Whether the process that prepared a run on this device trains its tasks itself, one after another, with the
        images that it has read.
        """

        del target, device, tasks
        return False

    def groups(self, plan: Plan, run: Run, unfinished: Sequence[int]) -> list[tuple[int, ...]]:
        """The unfinished seeds of a run that a task trains together, if the executor is self-contained."""

        del plan, run
        return [(seed,) for seed in unfinished]

    def task_target(self, target: RunTarget) -> RunTarget:
        """The target of a task, with the device of the machine that trains it. LthError for one that it cannot have."""

        return target
