"""One sitting at a run: rounds go to disk as they are found, seeds run side by side, news goes to whoever watches.

On the CPU every seed is a process of one thread: stacking gains nothing there, and threads that wait for one another
cost much.
"""
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.experiments import derived_runs, provenance
from lth.experiments.plan import Plan, make_plan
from lth.pruning.tickets import Round
from lth.runs.folder import Run, StoredRounds
from lth.system import file_lock, processes
from lth.system.files import Raw
from lth.training.engines import select
from lth.training.engines.names import EngineChoice, engine_choice
from lth.training.task import Engine, Measurement

_SECONDS_BETWEEN_NEWS = 0.2


@dataclass(frozen=True)
class RunTarget:
    """Where a run happens: what never decides its result."""

    folder: Path
    datasets: Path
    device: str = 'auto'
    threads: int = 1
    engine: EngineChoice | None = None


class SeedProgress(NamedTuple):
    """How far some seeds are: this round, this iteration; accuracies if measured, `saved` if the round is on disk."""

    seeds: tuple[int, ...]
    number: int
    step: int
    validation: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    saved: bool = False


OnProgress = Callable[[SeedProgress], None]
OnMessage = Callable[[str], None]


def run_plan(plan: Plan, place: RunTarget, seeds: Sequence[int], announce: OnMessage, tell: OnProgress) -> Run:
    """Does what is missing of the run, and nothing else; the rounds that are whole stay whatever stops it. The choice
    of engine is announced, all further news is told.
    """

    run = Run(place.folder, plan.recipe.dump(), plan.network)
    provenance.refuse_other_recipe(run)
    if plan.algorithm.needs_source:
        derived_runs.refuse_replaced_source(plan, run, seeds)
    place = replace(place, engine=engine_choice(place.engine or run.engine_choice() or 'auto'))
    engine = _engine(plan, place)
    if not _unfinished(plan, run, seeds):
        _clear_up(run)
        return run
    select.configure_process(threads=place.threads, device=engine.device)
    data = plan.read(place.datasets).to(engine.device)
    plan = plan.for_data(data)
    with file_lock.hold(place.folder):
        # Once more: another session may have come and gone while the data were read.
        provenance.refuse_other_recipe(run)
        run.remove_leftovers()
        session = provenance.session_entry(plan, engine, data, threads=place.threads, choice=place.engine)
        provenance.refuse_other_inputs(run, session)
        announce(f'Engine: {engine.name} on {engine.device}, threads for each seed: {place.threads}')
        if data.note:
            announce(data.note)
        select.compile_ahead(engine, plan.network, plan.kept, plan.recipe.training.batch_size, announce)
        told = _recorded(run, session, tell)
        _train_missing_rounds(plan, run, engine, data, place=place, seeds=seeds, tell=told)
    return run


def _train_missing_rounds(
        plan: Plan, run: Run, engine: Engine, data: Dataset, *, place: RunTarget, seeds: Sequence[int], tell: OnProgress) -> None:
    """The missing rounds: in this process if there is one stack or a GPU, else side by side."""

    unfinished = _unfinished(plan, run, seeds)
    for seed in seeds:
        number, step = (run.round_count(seed), 0) if seed in unfinished else (len(plan.kept) - 1, plan.steps)
        tell(SeedProgress((seed,), number, step))
    stacks = _stacks(select.replicate_groups(engine, plan.network, unfinished), run)
    if len(stacks) > 1 and engine.device.type == 'cpu':
        jobs = [(plan.recipe.dump(), place, stack) for stack in stacks]
        processes.run_in_parallel(_work, jobs, processes.available_slots(place.threads), tell)
        return
    for stack in stacks:
        _search(plan, run, engine, data, stack, tell)


def _search(plan: Plan, run: Run, engine: Engine, data: Dataset, seeds: tuple[int, ...], tell: OnProgress) -> None:
    """The missing rounds of some seeds, in this process."""

    run = replace(run, nonzero_pixels=sampling.nonzero_pixels(data, plan.recipe.data))
    past: Sequence[Round] = run.stored_rounds(seeds, engine.device)
    number = len(past)
    if plan.algorithm.needs_source:
        source = derived_runs.source_rounds(plan, run.folder, seeds, engine)
        past = source + past if isinstance(source, StoredRounds) and isinstance(past, StoredRounds) else [*source, *past]
    latest = 0.

    def watch(step: int, measurement: Measurement | None) -> None:
        nonlocal latest
        if measurement is None and time.monotonic() - latest < _SECONDS_BETWEEN_NEWS:
            return
        latest = time.monotonic()
        scores = (measurement.validation.accuracy, measurement.test.accuracy) if measurement else ((), ())
        tell(SeedProgress(seeds, number, step, *scores))

    # Taken before training: a source that is replaced meanwhile is noticed the next time.
    missing = range(number, len(plan.kept))
    sources = derived_runs.source_fingerprints(plan, run.folder, seeds, missing) if plan.algorithm.needs_source else {}
    task = plan.task(data, seeds, engine, watch)
    for found in plan.algorithm.find(task, plan.recipe.algorithm, past):
        found = replace(found, sources=sources.get(found.number, ()))
        run.save(found, seeds)
        tell(SeedProgress(seeds, found.number, found.trained.step, test=found.trained.history[-1].test.accuracy, saved=True))
        number = found.number + 1


def _clear_up(run: Run) -> None:
    """Clears away what a session left that was killed behind its last round, unless another is at work here."""

    if run.leftovers() or (run.folder / file_lock.LOCK_NAME).exists():
        with contextlib.suppress(LthError), file_lock.hold(run.folder):
            run.remove_leftovers()


def _unfinished(plan: Plan, run: Run, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if run.round_count(seed) < len(plan.kept)]


def _stacks(groups: Sequence[tuple[int, ...]], run: Run) -> list[tuple[int, ...]]:
    """The groups, split where seeds are not equally far."""

    stacks: dict[tuple[int, int], list[int]] = {}
    for index, group in enumerate(groups):
        for seed in group:
            stacks.setdefault((index, run.round_count(seed)), []).append(seed)
    return [tuple(stack) for stack in stacks.values()]


def _work(recipe: Raw, place: RunTarget, seeds: tuple[int, ...], send: OnProgress) -> None:
    """What a worker process does."""

    plan = make_plan(recipe, 'recipe.yaml')
    engine = _engine(plan, place)
    select.configure_process(threads=place.threads, device=engine.device)
    data = plan.read(place.datasets)
    _search(plan.for_data(data), Run(place.folder, recipe, plan.network), engine, data, seeds, send)


def _engine(plan: Plan, place: RunTarget) -> Engine:
    return select.select_engine(
        place.device, choice=place.engine or 'auto', capturable=plan.capturable, obstacle=plan.obstacle)


def _recorded(run: Run, session: Raw, tell: OnProgress) -> OnProgress:
    """Passes news on, and keeps this session's entry up to date from its first whole round on."""

    began = time.monotonic()

    def told(news: SeedProgress) -> None:
        if news.saved:
            first = session['rounds'] == 0
            session.update(seconds=round(time.monotonic() - began, 1), rounds=session['rounds'] + len(news.seeds))
            run.record_session(session, first=first)
        tell(news)
    return told
