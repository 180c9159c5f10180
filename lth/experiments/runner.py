"""Run a plan: train the missing rounds of each seed, save each round when it is complete, report progress.

On the CPU every seed is trained by its own process with one thread: several seeds in one process would not be faster,
and threads that wait for each other are slower.
"""
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from lth.datasets import Dataset
from lth.errors import USER_ERROR, LthError
from lth.experiments import derived_runs, memory_needs, metric_logs, provenance, recipe_claim, self_contained
from lth.experiments.executors import make_executor
from lth.experiments.executors.protocol import Ended, Executor, Task
from lth.experiments.plan import Plan
from lth.experiments.reporter import Reporter, forward, seed_names
from lth.experiments.run_target import RunTarget, decide_compilation, select_engine
from lth.experiments.seed_training import Report, SeedTraining, train_seeds
from lth.experiments.session_log import SessionLog
from lth.experiments.session_recorder import SessionRecorder
from lth.experiments.unfinished_seeds import (
    first_step, refuse_missing_rounds, report_starts, unfinished_seeds)
from lth.pruning.tickets import dense_ticket
from lth.runs import integrity, run_locks
from lth.runs.folder import Run
from lth.system import file_lock, processes, signals
from lth.training.engines import select
from lth.training.task import Engine, State


def run_plan(plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: Reporter) -> Run:
    """Train the rounds that the run still lacks. Completed rounds are never changed, so an interrupted call can be
    repeated. LthError if the folder belongs to another recipe, or to other data, code or source tickets.
    """

    with SessionLog(reporter) as log:
        return _run_plan(plan, target, seeds, log)


def _run_plan(plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: SessionLog) -> Run:
    metric_logs.require_logs(target.logs)
    run = plan.run(target.folder)
    for note in plan.notes:
        reporter.message(f'Note: {note}.')
    if added := recipe_claim.added_rounds(plan, run):
        reporter.message(f'{run.folder} has the rounds 0 to {added[0] - 1}. Rounds up to {added[-1]} are added.')
    _refuse_other_code(plan, run, seeds)
    executor = make_executor(target.executor, target.executor_settings)
    if executor.self_contained:
        self_contained.train_seeds(plan, target, seeds, executor, partial(forward, reporter=reporter))
        return run
    target = target.resumed(run)
    compilation = decide_compilation(plan, target, seeds=len(seeds))
    target = replace(target, compile=compilation.decision)
    engine = select_engine(plan, target)
    unfinished = unfinished_seeds(plan, run, seeds)
    if not unfinished:
        _remove_leftovers(run, seeds)
        return run
    _refuse_too_much_memory(plan, engine, target, len(unfinished))
    training = _read_data(plan, run, engine, target)
    # The recipe is checked again: another process may have trained here while the data were being read.
    with run_locks.hold_seeds(run.folder, unfinished), recipe_claim.claim_recipe(training.plan, run, unfinished):
        run.remove_leftovers(unfinished)
        _refuse_other_data(training)
        if compilation.note:
            reporter.message(compilation.note)
        _compile_ahead(training, seeds[0], reporter)
        recorder = _start_session(training, target, seeds, reporter)
        with signals.recorded(), _explain_completed_rounds(run), \
                metric_logs.logged(run, recorder, target.logs) as reporting:
            _train_missing_rounds(training, target, seeds, partial(forward, reporter=reporting))
        refuse_missing_rounds(training.plan, run, seeds)
    return run


def _refuse_other_code(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """LthError if the run in the folder was trained with other code, or from tickets that were replaced."""

    integrity.warn_of_missing_sums(run.folder)
    provenance.refuse_other_inputs(run, provenance.code_inputs(plan))
    if plan.recipe.algorithm.needs_source:
        derived_runs.refuse_replaced_source(plan, run, seeds)


def _refuse_too_much_memory(plan: Plan, engine: Engine, target: RunTarget, seeds: int) -> None:
    if engine.device.type != 'cpu':
        memory_needs.refuse_too_much(plan, seeds=0)
    elif target.in_process or seeds == 1:
        memory_needs.refuse_too_much(plan)
    else:
        together = min(seeds, processes.available_slots(target.threads or 1))
        memory_needs.refuse_too_much(plan, processes=together, seeds=together)


def _read_data(plan: Plan, run: Run, engine: Engine, target: RunTarget) -> SeedTraining:
    """What training needs, with the images in memory and this process configured for the engine. LthError if the engine
    cannot train in the plan's precision, or if the images are not the same each time.
    """

    select.refuse_unsupported_precision(engine.device, plan.recipe.training.precision)
    target.configure_process(engine.device)
    data = plan.load(target.datasets, engine.device)
    plan = plan.for_data(data)
    provenance.refuse_random_data(plan, target.datasets, data)
    return SeedTraining(plan, run, engine, data, target.interval)


def _refuse_other_data(training: SeedTraining) -> None:
    """LthError if the run, or the one that it starts from, was trained with other code or other images."""

    inputs = provenance.inputs(training.plan, training.data)
    provenance.refuse_other_inputs(training.run, inputs)
    if training.plan.recipe.algorithm.needs_source:
        provenance.refuse_changed_source(derived_runs.source_run(training.run), training.run, inputs)


def _start_session(
        training: SeedTraining, target: RunTarget, seeds: Sequence[int], reporter: SessionLog) -> SessionRecorder:
    """Report how the seeds are trained. What is reported to the result also reaches the file of this session."""

    plan, engine = training.plan, training.engine
    entry = provenance.session_entry(plan, engine, training.data, target, seeds) | {'recipe': training.run.digest}
    reporter.message(f'Engine: {engine.name} on {engine.device}, threads for each seed: {entry["threads"]}')
    for note in _notes(plan, target, engine, training.data):
        reporter.message(note)
    return SessionRecorder(training.run, entry, reporter)


@contextlib.contextmanager
def _explain_completed_rounds(run: Run) -> Iterator[None]:
    """Let an error of training that the user can fix say that completed rounds stay, and how to start over."""

    try:
        yield
    except LthError as error:
        if error.exit_code != USER_ERROR or not run.seeds():
            raise
        raise error.extended(f'The completed rounds stay in {run.folder}. To start over with other settings, add '
                             '--restart, which moves them aside.') from None


def _compile_ahead(training: SeedTraining, seed: int, reporter: Reporter) -> None:
    """Compile what the engine needs, so that the time that it takes is reported before training."""

    plan = training.plan
    if plan.recipe.algorithm.trains != 'never':
        task = plan.task(training.data, [seed], training.engine)
        dense = dense_ticket(task)
        select.compile_ahead(task, State(dense.weights, dense.buffers), plan.kept, reporter.message)


def _notes(plan: Plan, target: RunTarget, engine: Engine, data: Dataset) -> Iterator[str]:
    """What the user should know about the device and the data of this session."""

    if target.device == 'auto' and (failure := select.gpu_failure()):
        yield f'Note: the GPU is not used: {failure}'
    if note := select.precision_note(engine.device, plan.recipe.training.precision):
        yield f'Note: {note}.'
    if data.note:
        yield data.note


def _train_missing_rounds(training: SeedTraining, target: RunTarget, seeds: Sequence[int], report: Report) -> None:
    """Train the stacks of seeds: in this process, or where the executor of the target does."""

    plan, run, engine = training.plan, training.run, training.engine
    unfinished = unfinished_seeds(plan, run, seeds)
    report_starts(plan, run, seeds, report)
    groups = select.replicate_groups(engine, plan.network, plan.recipe.training, unfinished)
    stacks = _stacks(groups, run)
    executor = make_executor(target.executor, target.executor_settings)
    if executor.leaves_to_caller(target, engine.device, tasks=len(stacks)):
        for stack in stacks:
            train_seeds(training, stack, report)
    else:
        _run_tasks(executor, _tasks(training, target, stacks), report)


def _tasks(training: SeedTraining, target: RunTarget, stacks: Sequence[tuple[int, ...]]) -> list[Task]:
    """A task for each stack of seeds."""

    recipe, expected = training.plan.recipe.dump(), provenance.inputs(training.plan, training.data)
    return [Task(recipe, target, stack, expected, seed_names(stack)) for stack in stacks]


def _run_tasks(executor: Executor, tasks: Sequence[Task], report: Report) -> None:
    """Let the executor train all tasks of a run. The first error ends the others."""

    with signals.deferred(), executor.open(tasks[0].target) as session:
        for task in tasks:
            session.submit(task)
        for _, event in session.events():
            if not isinstance(event, Ended):
                report(event)
            elif event.error:
                raise event.error


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
