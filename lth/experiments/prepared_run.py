"""A run that is about to be trained: its folder compared with the plan, its images read, its seeds locked, its recipe
written.
"""
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from lth.errors import LthError
from lth.experiments import (
    derived_runs, memory_needs, metric_logs, provenance, recipe_claim, self_contained, session_start)
from lth.experiments.data_cache import DataCache
from lth.experiments.distributed import leader
from lth.experiments.executors import make_executor
from lth.experiments.executors.protocol import Task
from lth.experiments.plan import Plan
from lth.experiments.reporter import forward, seed_names
from lth.experiments.run_target import RunTarget, decide_compilation, select_engine
from lth.experiments.seed_training import Report, SeedTraining
from lth.experiments.session_log import SessionLog
from lth.experiments.session_recorder import SessionRecorder
from lth.experiments.unfinished_seeds import first_step, refuse_missing_rounds, report_starts, unfinished_seeds
from lth.runs import integrity, run_locks
from lth.runs.folder import Run
from lth.system import file_lock, launch, processes
from lth.training.engines import select
from lth.training.task import Engine


class PreparedRun(Protocol):
    """A run whose missing rounds can be trained."""

    @property
    def run(self) -> Run:
        """The run in its folder."""

    @property
    def unfinished(self) -> Sequence[int]:
        """The seeds that lack rounds."""

    def reports(self) -> AbstractContextManager[Report]:
        """What receives the reports of the tasks during the block: first, where the training of each seed starts."""

    def tasks(self, name: str = '') -> list[Task]:
        """The tasks for the unfinished seeds. Their names in messages end with `name`, such as ' of CELL'."""


@dataclass(frozen=True)
class LockedRun:
    """A run whose unfinished seeds are locked, whose recipe is on disk and whose images are read. See PreparedRun."""

    seeds: Sequence[int]
    unfinished: Sequence[int]
    target: RunTarget
    training: SeedTraining
    recorder: SessionRecorder

    @property
    def run(self) -> Run:
        """See PreparedRun."""

        return self.training.run

    @contextlib.contextmanager
    def reports(self) -> Iterator[Report]:
        """See PreparedRun. Measurements also reach the logs of the target."""

        with metric_logs.logged(self.run, self.recorder, self.target.logs) as reporting:
            report = partial(forward, reporter=reporting)
            report_starts(self.training.plan, self.run, self.seeds, report)
            yield report

    def stacks(self) -> list[tuple[int, ...]]:
        """The unfinished seeds, those together that train together."""

        plan, engine = self.training.plan, self.training.engine
        groups = select.replicate_groups(engine, plan.network, plan.recipe.training, self.unfinished)
        return _stacks(groups, self.run)

    def tasks(self, name: str = '') -> list[Task]:
        """See PreparedRun: a task for each stack."""

        training, recipe = self.training, self.training.plan.recipe.dump()
        expected = provenance.inputs(training.plan, training.data)
        return [Task(recipe, self.target, stack, expected, seed_names(stack) + name) for stack in self.stacks()]


@dataclass(frozen=True)
class CompleteRun:
    """A run in which no seed lacks a round. See PreparedRun."""

    run: Run
    unfinished: Sequence[int] = ()

    def reports(self) -> AbstractContextManager[Report]:
        """See PreparedRun."""

        return contextlib.nullcontext(lambda _report: None)

    def tasks(self, _name: str = '') -> list[Task]:
        """See PreparedRun."""

        return []


def prepare_run(
        plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: SessionLog, data: DataCache,
) -> AbstractContextManager[PreparedRun]:
    """The run, prepared for the training of these seeds in the block by the executor of the target. LthError as
    `run_plan`; also after the block, if rounds are missing then.
    """

    metric_logs.require_logs(target.logs)
    executor = make_executor(target.executor, target.executor_settings)
    run = plan.run(target.folder)
    for note in plan.notes:
        reporter.message(f'Note: {note}.')
    if added := recipe_claim.added_rounds(plan, run):
        reporter.message(f'{run.folder} has the rounds 0 to {added[0] - 1}. Rounds up to {added[-1]} are added.')
    _refuse_other_code(plan, run, seeds)
    if executor.self_contained and unfinished_seeds(plan, run, seeds):
        return _prepare_elsewhere(self_contained.SelfContainedRun(plan, target, seeds, executor, reporter))
    return _prepare_here(plan, target.resumed(run), seeds, reporter, data)


@contextlib.contextmanager
def _prepare_elsewhere(prepared: self_contained.SelfContainedRun) -> Iterator[PreparedRun]:
    """A run that is trained by processes which read and lock what they need."""

    yield prepared
    refuse_missing_rounds(prepared.plan, prepared.run, prepared.seeds)


@contextlib.contextmanager
def _prepare_here(
        plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: SessionLog, data: DataCache,
) -> Iterator[PreparedRun]:
    """A run whose images this process reads, and whose seeds it locks."""

    run = plan.run(target.folder)
    provenance.refuse_other_normalization(plan, run, target)
    compilation = decide_compilation(plan, target, seeds=len(seeds))
    target = replace(target, compile=compilation.decision)
    engine = select_engine(plan, target)
    unfinished = unfinished_seeds(plan, run, seeds)
    if not unfinished:
        _remove_leftovers(run, seeds)
        yield CompleteRun(run)
        return
    _refuse_too_much_memory(plan, engine, target, len(unfinished))
    training = _read_data(plan, run, engine, target, data)
    # The recipe is checked again: another process may have trained here while the data were being read.
    with run_locks.hold_seeds(run.folder, unfinished), recipe_claim.claim_recipe(training.plan, run, unfinished):
        run.remove_leftovers(unfinished)
        _refuse_other_data(training)
        if compilation.note:
            reporter.message(compilation.note)
        session_start.compile_ahead(training, seeds[0], reporter)
        recorder = session_start.start_session(training, target, seeds, reporter)
        unfinished = unfinished_seeds(training.plan, run, seeds)
        yield LockedRun(seeds, unfinished, target, training, recorder)
        refuse_missing_rounds(training.plan, run, seeds)


def _refuse_other_code(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """LthError if the run in the folder was trained with other code, or from tickets that were replaced or removed."""

    integrity.warn_of_missing_sums(run.folder)
    provenance.refuse_other_inputs(run, provenance.code_inputs(plan))
    if plan.recipe.algorithm.needs_source:
        derived_runs.refuse_replaced_source(plan, run, seeds)
        derived_runs.refuse_removed_sources({run.folder: plan}, seeds)


def _refuse_too_much_memory(plan: Plan, engine: Engine, target: RunTarget, seeds: int) -> None:
    if engine.device.type != 'cpu':
        memory_needs.refuse_too_much(plan, seeds=0)
    elif target.in_process or seeds == 1:
        found = launch.launch()
        memory_needs.refuse_too_much(plan, processes=found.local_size - 1 if found else 0)
    else:
        together = min(seeds, processes.available_slots(target.threads or 1))
        memory_needs.refuse_too_much(plan, processes=together, seeds=together)


def _read_data(plan: Plan, run: Run, engine: Engine, target: RunTarget, cache: DataCache) -> SeedTraining:
    """What training needs, with the images in memory and this process configured for the engine. LthError if the engine
    cannot train in the plan's precision, or if the images are not the same each time.
    """

    select.refuse_unsupported_precision(engine.device, plan.recipe.training.precision)
    target.configure_process(engine.device)
    data = cache.load(plan, target.datasets, engine.device)
    plan = plan.for_data(data)
    provenance.refuse_random_data(plan, target.datasets, data)
    lockstep = leader.make_lockstep(plan, target, engine, data)
    return SeedTraining(plan, run, engine, data, target.interval, lockstep)


def _refuse_other_data(training: SeedTraining) -> None:
    """LthError if the run, or the one that it starts from, was trained with other code or other images."""

    inputs = provenance.inputs(training.plan, training.data)
    provenance.refuse_other_inputs(training.run, inputs)
    if training.plan.recipe.algorithm.needs_source:
        provenance.refuse_changed_source(derived_runs.source_run(training.run), training.run, inputs)


def _remove_leftovers(run: Run, seeds: Sequence[int]) -> None:
    """Remove what a killed session left after the last round of these seeds, unless another session is at work."""

    locks = [run.folder / file_lock.LOCK_NAME, *(run_locks.lock_file(run.folder, seed) for seed in seeds)]
    if not run.leftovers(seeds) and not recipe_claim.partial_files(run) and not any(lock.exists() for lock in locks):
        return
    with contextlib.suppress(LthError), run_locks.hold_seeds(run.folder, seeds), run_locks.hold_recipe(run.folder):
        run.remove_leftovers(seeds)
        recipe_claim.remove_partial_files(run, seeds)


def _stacks(groups: Sequence[tuple[int, ...]], run: Run) -> list[tuple[int, ...]]:
    """The groups, split where their seeds are at different iterations."""

    stacks: dict[tuple[int, int, int], list[int]] = {}
    for index, group in enumerate(groups):
        for seed in group:
            stacks.setdefault((index, *first_step(run, seed)), []).append(seed)
    return [tuple(stack) for stack in stacks.values()]
