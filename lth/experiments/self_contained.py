"""Runs on an executor whose tasks are self-contained: this process submits and follows them, and trains nothing.

It takes no lock, reads no images and selects no engine: those who train do, perhaps on a machine with other devices.
"""
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from lth.errors import LthError
from lth.experiments import provenance
from lth.experiments.executors.protocol import Executor, Task
from lth.experiments.plan import Plan
from lth.experiments.reporter import Reporter, forward, seed_names
from lth.experiments.run_target import RunTarget
from lth.experiments.seed_training import Report
from lth.experiments.unfinished_seeds import report_starts, unfinished_seeds
from lth.runs.folder import Run


@dataclass(frozen=True)
class SelfContainedRun:
    """A run that is trained by such tasks. See lth.experiments.prepared_run.PreparedRun."""

    plan: Plan
    target: RunTarget
    seeds: Sequence[int]
    executor: Executor
    reporter: Reporter

    @property
    def run(self) -> Run:
        """See PreparedRun."""

        return self.plan.run(self.target.folder)

    @property
    def unfinished(self) -> Sequence[int]:
        """See PreparedRun."""

        return unfinished_seeds(self.plan, self.run, self.seeds)

    @contextlib.contextmanager
    def reports(self) -> Iterator[Report]:
        """See PreparedRun. The tasks write the logs of the target."""

        report = partial(forward, reporter=self.reporter)
        report_starts(self.plan, self.run, self.seeds, report)
        yield report

    def tasks(self, name: str = '') -> list[Task]:
        """See PreparedRun. LthError for a model or data given as Python objects, which exist only in this process."""

        if self.target.in_process:
            raise LthError(f'--executor {self.target.executor} trains in other processes, in which a model or data '
                           'given as Python objects do not exist. Give them by their names, such as '
                           'path/to/file.py:function, or train with the executor local.')
        there = self.executor.task_target(self.target)
        recipe, expected = self.plan.recipe.dump(), provenance.code_inputs(self.plan)
        groups = self.executor.groups(self.plan, self.run, self.unfinished)
        return [Task(recipe, there, group, expected, seed_names(group) + name) for group in groups]
