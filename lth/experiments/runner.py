"""Run a plan: train the missing rounds of each seed, save each round when it is complete, report progress.

On the CPU every seed is trained by its own process with one thread: several seeds in one process would not be faster,
and threads that wait for each other are slower.
"""
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.experiments import derived_runs, provenance, recipe_claim
from lth.experiments.plan import Plan, make_plan
from lth.experiments.reporter import Reporter, SeedProgress, forward
from lth.experiments.run_target import RunTarget, decide_compilation, select_engine
from lth.pruning.tickets import Round, dense_ticket
from lth.registry import trust, user_code
from lth.runs import integrity, run_locks, sessions
from lth.runs.folder import Run
from lth.system import processes
from lth.system.files import Raw
from lth.training.engines import select
from lth.training.task import Engine, Measurement, State, Task

_SECONDS_BETWEEN_REPORTS = 0.2
_Report = Callable[[SeedProgress], None]


@dataclass(frozen=True)
class _Training:
    """What this process needs to train seeds of a run."""

    plan: Plan
    run: Run
    engine: Engine
    data: Dataset


def run_plan(plan: Plan, target: RunTarget, seeds: Sequence[int], reporter: Reporter) -> Run:
    """Train the rounds that the run still lacks. Completed rounds are never changed, so an interrupted call can be
    repeated. LthError if the folder belongs to another recipe, or to other data, code or source tickets.
    """

    run = Run(target.folder, plan.recipe.dump(), plan.network)
    for note in plan.notes:
        reporter.message(f'Note: {note}.')
    if added := recipe_claim.added_rounds(plan, run):
        reporter.message(f'{run.folder} has the rounds 0 to {added[0] - 1}. Rounds up to {added[-1]} are added.')
    integrity.warn_of_missing_sums(run.folder)
    provenance.refuse_other_inputs(run, provenance.code_inputs(plan))
    if plan.recipe.algorithm.needs_source:
        derived_runs.refuse_replaced_source(plan, run, seeds)
    target = target.resumed(run)
    compilation = decide_compilation(plan, target, seeds=len(seeds))
    target = replace(target, compile=compilation.decision)
    engine = select_engine(plan, target)
    unfinished = _unfinished_seeds(plan, run, seeds)
    if not unfinished:
        _remove_leftovers(run, seeds)
        return run
    select.refuse_unsupported_precision(engine.device, plan.recipe.training.precision)
    target.configure_process(engine.device)
    data = plan.load(target.datasets, engine.device)
    plan = plan.for_data(data)
    provenance.refuse_random_data(plan, target.datasets, data)
    # The recipe is checked again: another process may have trained here while the data were being read.
    with run_locks.hold_seeds(run.folder, unfinished), recipe_claim.claim_recipe(plan, run, unfinished):
        run.remove_leftovers(unfinished)
        entry = provenance.session_entry(plan, engine, data, target)
        provenance.refuse_other_inputs(run, entry)
        if plan.recipe.algorithm.needs_source:
            provenance.refuse_changed_source(derived_runs.source_run(run), run, entry)
        if compilation.note:
            reporter.message(compilation.note)
        _compile_ahead(plan.task(data, seeds[:1], engine), plan, reporter)
        entry |= {'engine': engine.name, 'compile': target.compile if 'compiled' in engine.name else 'off'}
        reporter.message(f'Engine: {engine.name} on {engine.device}, threads for each seed: {entry["threads"]}')
        for note in _notes(plan, target, engine, data):
            reporter.message(note)
        report = partial(forward, reporter=_SessionRecorder(run, entry, reporter))
        _train_missing_rounds(_Training(plan, run, engine, data), target, seeds, report)
        _refuse_missing_rounds(plan, run, seeds)
    return run


def _compile_ahead(task: Task, plan: Plan, reporter: Reporter) -> None:
    """Compile what the task's engine needs, so that the time that it takes is reported before training."""

    if plan.recipe.algorithm.trains != 'never':
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


def _train_missing_rounds(training: _Training, target: RunTarget, seeds: Sequence[int], report: _Report) -> None:
    """Train in this process on a GPU or if all seeds are one stack, otherwise with a process for each stack."""

    plan, run, engine = training.plan, training.run, training.engine
    unfinished = _unfinished_seeds(plan, run, seeds)
    for seed in seeds:
        number, step = (run.round_count(seed), 0) if seed in unfinished else (len(plan.kept) - 1, plan.steps)
        report(SeedProgress((seed,), number, step))
    groups = select.replicate_groups(engine, plan.network, plan.recipe.training, unfinished)
    stacks = _stacks(groups, run)
    if len(stacks) > 1 and engine.device.type == 'cpu' and not target.in_process:
        expected = provenance.inputs(plan, training.data)
        jobs = [(plan.recipe.dump(), target, stack, expected) for stack in stacks]
        processes.run_in_parallel(
            _train_in_worker, jobs, processes.available_slots(target.threads or 1), report,
            names=list(map(_seed_names, stacks)))
        return
    for stack in stacks:
        _train_seeds(training, stack, report)


def _train_in_worker(
        recipe: Raw, target: RunTarget, seeds: tuple[int, ...], expected: Raw, report: _Report) -> None:
    """Train the missing rounds of some seeds in a process of its own, which makes the plan again from the recipe.
    LthError if code or images are no longer the `expected` ones.
    """

    trust.set_current(target.trusted)
    plan = make_plan(recipe, 'recipe.yaml')
    engine = select_engine(plan, target)
    replace(target, threads=target.threads or 1).configure_process(engine.device)
    data = plan.load(target.datasets, engine.device)
    provenance.refuse_changed_inputs(expected, provenance.inputs(plan, data), seeds)
    run = Run(target.folder, recipe, plan.network)
    _train_seeds(_Training(plan.for_data(data), run, engine, data), seeds, report)


def _train_seeds(training: _Training, seeds: tuple[int, ...], report: _Report) -> None:
    """Train the missing rounds of some seeds together, as one stack of replicates."""

    plan, engine = training.plan, training.engine
    run = replace(training.run, nonzero_pixels=sampling.nonzero_pixels(training.data, plan.recipe.data))
    past = run.stored_rounds(seeds, engine.device)
    watch = _Watch(seeds, len(past), report)
    missing = range(len(past), len(plan.kept))
    derived = plan.recipe.algorithm.needs_source
    source = derived_runs.source_rounds(plan, run, seeds, engine) if derived else ()
    # Read before training, so that a source that is replaced meanwhile is noticed the next time.
    sources = derived_runs.source_fingerprints(plan, run, seeds, missing) if derived else {}
    task = plan.task(training.data, seeds, engine, watch.on_step)
    with user_code.guard_training(f'Training {plan.recipe.model.name}, {_seed_names(seeds)},'), \
            select.explain_training_failures(task):
        for round_ in plan.algorithm.find(task, plan.recipe.algorithm, past, source=source):
            round_ = replace(round_, sources=sources.get(round_.number, ()))
            provenance.refuse_changed_modules()
            run.save(round_, seeds)
            watch.on_saved(round_)


class _Watch:
    """Turns the steps of a training loop into reports, except those that follow each other too fast."""

    def __init__(self, seeds: tuple[int, ...], number: int, report: _Report) -> None:
        self._seeds = seeds
        self._number = number
        self._report = report
        self._last_report = 0.

    def on_step(self, step: int, measurement: Measurement | None) -> None:
        """Report the step, always if it was measured."""

        if measurement is None and time.monotonic() - self._last_report < _SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = time.monotonic()
        scores = (measurement.validation.accuracy, measurement.test.accuracy) if measurement else ((), ())
        self._report(SeedProgress(self._seeds, self._number, step, *scores))

    def on_saved(self, round_: Round) -> None:
        """Report the round; the steps that follow belong to the next one."""

        test = round_.trained.history[-1].test.accuracy
        self._report(SeedProgress(self._seeds, round_.number, round_.trained.step, test=test, saved=True))
        self._number = round_.number + 1


class _SessionRecorder:
    """Passes reports on, and keeps the entry of this session up to date, from its first completed round on."""

    def __init__(self, run: Run, entry: Raw, reporter: Reporter) -> None:
        self._run = run
        self._entry = entry
        self._reporter = reporter
        self._start = time.monotonic()
        self.message = reporter.message
        self.progress = reporter.progress

    def round_saved(self, progress: SeedProgress) -> None:
        """Record the round in the file of this session."""

        seconds = round(time.monotonic() - self._start, 1)
        self._entry.update(seconds=seconds, rounds=self._entry['rounds'] + len(progress.seeds))
        sessions.write(self._run.folder, self._entry)
        self._reporter.round_saved(progress)


def _remove_leftovers(run: Run, seeds: Sequence[int]) -> None:
    """Remove what a killed session left after the last round of these seeds, unless another session is at work."""

    if run.leftovers(seeds) or any(run_locks.lock_file(run.folder, seed).exists() for seed in seeds):
        with contextlib.suppress(LthError), run_locks.hold_seeds(run.folder, seeds):
            run.remove_leftovers(seeds)


def _refuse_missing_rounds(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """LthError unless every seed has all rounds: the folder, a seed or a round may have been moved or deleted."""

    if missing := _unfinished_seeds(plan, run, seeds):
        raise LthError(f'{run.folder} is not complete: {run.round_count(missing[0])} of {len(plan.kept)} rounds of '
                       f'seed {missing[0]} are there. The folder, or a part of it, was moved or deleted while the run '
                       'was trained. Put it back, or run the same command again to train what is missing.')


def _seed_names(seeds: Sequence[int]) -> str:
    """The seeds in words, for messages."""

    return f'seed {seeds[0]}' if len(seeds) == 1 else f'seeds {", ".join(map(str, seeds))}'


def _unfinished_seeds(plan: Plan, run: Run, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if run.round_count(seed) < len(plan.kept)]


def _stacks(groups: Sequence[tuple[int, ...]], run: Run) -> list[tuple[int, ...]]:
    """The groups, split where their seeds have different numbers of rounds."""

    stacks: dict[tuple[int, int], list[int]] = {}
    for index, group in enumerate(groups):
        for seed in group:
            stacks.setdefault((index, run.round_count(seed)), []).append(seed)
    return [tuple(stack) for stack in stacks.values()]
