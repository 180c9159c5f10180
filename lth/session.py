"""One sitting at a run: rounds go to disk as they are found, seeds run side by side, news goes to whoever watches.

On the CPU every seed is a process of one thread: stacking gains nothing there, and threads that wait for one another
cost much.
"""
import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing import Pipe, connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

import torch

from lth import __version__, engines, files, locks, workers
from lth.datasets import Dataset
from lth.errors import LthError
from lth.plan import Plan, planned
from lth.recipe import Raw, differences
from lth.runs import Past, Run
from lth.task import Engine, Measurement

_SECONDS_BETWEEN_NEWS = 0.2


@dataclass(frozen=True)
class Place:
    """Where a run happens: what never decides its result."""

    folder: Path
    datasets: Path
    device: str = 'auto'
    threads: int = 1


class News(NamedTuple):
    """How far some seeds are: this round, this iteration; accuracies if measured, `saved` if the round is on disk."""

    seeds: tuple[int, ...]
    number: int
    step: int
    validation: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    saved: bool = False


Tell = Callable[[News], None]
Announce = Callable[[str], None]


def search(plan: Plan, place: Place, seeds: Sequence[int], announce: Announce, tell: Tell) -> Run:
    """Does what is missing of the run, and nothing else; the rounds that are whole stay whatever stops it. The choice
    of engine is announced, all further news is told.
    """

    engine = engines.chosen(place.device, threads=place.threads, capturable=plan.capturable)
    run = Run(place.folder, plan.recipe.dump(), plan.network)
    _refuse_foreign(run)
    if not _unfinished(plan, run, seeds):
        _clear_up(run)
        return run
    data = plan.read(place.datasets).to(engine.device)
    plan = plan.on(data)
    with locks.held(place.folder):
        # Once more: another session may have come and gone while the data were read.
        _refuse_foreign(run)
        run.tidy()
        session = _environment(plan, engine, data, place.threads)
        _refuse_others(run, session)
        announce(f'Engine: {engine.name} on {engine.device}, threads for each seed: {place.threads}')
        if data.remark:
            announce(data.remark)
        told = _recorded(run, session, tell)
        _go_on(plan, run, engine, data, place=place, seeds=seeds, tell=told)
    return run


def _go_on(
        plan: Plan, run: Run, engine: Engine, data: Dataset, *, place: Place, seeds: Sequence[int], tell: Tell) -> None:
    """The missing rounds: in this process if there is one stack or a GPU, else side by side."""

    unfinished = _unfinished(plan, run, seeds)
    for seed in seeds:
        number, step = (run.rounds(seed), 0) if seed in unfinished else (len(plan.kept) - 1, plan.steps)
        tell(News((seed,), number, step))
    stacks = _stacks(engines.groups(engine, plan.network, unfinished), run)
    if len(stacks) > 1 and engine.device.type == 'cpu':
        _side_by_side(plan, place, stacks, tell)
        return
    for stack in stacks:
        _search(plan, run, engine, data, stack, tell)


def _search(plan: Plan, run: Run, engine: Engine, data: Dataset, seeds: tuple[int, ...], tell: Tell) -> None:
    """The missing rounds of some seeds, in this process."""

    past = run.past(seeds, engine.device)
    number = len(past)
    if plan.algorithm.sourced:
        past = _source(plan, seeds, engine) + past
    latest = 0.

    def watch(step: int, measurement: Measurement | None) -> None:
        nonlocal latest
        if measurement is None and time.monotonic() - latest < _SECONDS_BETWEEN_NEWS:
            return
        latest = time.monotonic()
        scores = (measurement.validation.accuracy, measurement.test.accuracy) if measurement else ((), ())
        tell(News(seeds, number, step, *scores))

    task = plan.task(data, seeds, engine, watch)
    for found in plan.algorithm.find(task, plan.recipe.algorithm, past):
        run.save(found, seeds)
        tell(News(seeds, found.number, found.trained.step, test=found.trained.history[-1].test.accuracy, saved=True))
        number = found.number + 1


def _source(plan: Plan, seeds: tuple[int, ...], engine: Engine) -> Past:
    """The rounds of another run that this one starts from: the `round` or `rounds` that its settings name, or as many
    as there are here.
    """

    settings = plan.recipe.dump()['algorithm']
    folder = Path(settings['source'])
    theirs = planned(files.read_yaml(folder / 'recipe.yaml'), str(folder / 'recipe.yaml'))
    past = Run(folder, theirs.recipe.dump(), theirs.network).past(seeds, engine.device)
    numbers = [settings['round']] if 'round' in settings else settings.get('rounds', range(len(plan.kept)))
    if len(past) <= max(numbers):
        raise LthError(f'{folder} has {len(past)} rounds of all seeds {list(seeds)}, but {max(numbers) + 1} are '
                       'needed: let that search go on first.')
    return replace(past, rounds=tuple(past.rounds[number] for number in numbers))


def _clear_up(run: Run) -> None:
    """Clears away what a session left that was killed behind its last round, unless another is at work here."""

    if run.left_overs() or (run.folder / locks.NAME).exists():
        with contextlib.suppress(LthError), locks.held(run.folder):
            run.tidy()


def _unfinished(plan: Plan, run: Run, seeds: Sequence[int]) -> list[int]:
    return [seed for seed in seeds if run.rounds(seed) < len(plan.kept)]


def _refuse_foreign(run: Run) -> None:
    """An LthError if the folder holds a run of another recipe. Both are compared complete and under their proper names,
    so a run goes on when a later version knows more settings; what merely cites a source does not count.
    """

    stored = run.stored_recipe()
    if stored is None:
        return
    theirs = planned(stored, str(run.folder / 'recipe.yaml')).recipe.dump()
    rows = differences(theirs | {'source': ''}, run.recipe | {'source': ''})
    if rows:
        raise LthError(f'{run.folder} holds a run of another recipe (there / here): {"; ".join(rows)}. '
                       'Choose another folder with --run, or ask for the settings it was begun with.')


def _refuse_others(run: Run, facts: Raw) -> None:
    """An LthError if the run was begun with another network or other pictures, which no recipe can tell: the user's own
    code or files have changed, or another reader decodes them a little differently.
    """

    before: Raw = {}
    for session in run.sessions():
        before |= session
    for what, words in (('reader', 'another reader'), ('network', 'another network'), ('pictures', 'other pictures')):
        if before.get(what, facts[what]) != facts[what]:
            raise LthError(f'{run.folder} was begun with {words} ({what}: {before[what]} / {facts[what]}): what is '
                           'added now would not belong to it. Put code, pictures and prepared files back as they were, '
                           'or choose another folder with --run.')


def _stacks(groups: Sequence[tuple[int, ...]], run: Run) -> list[tuple[int, ...]]:
    """The groups, split where seeds are not equally far."""

    stacks: dict[tuple[int, int], list[int]] = {}
    for index, group in enumerate(groups):
        for seed in group:
            stacks.setdefault((index, run.rounds(seed)), []).append(seed)
    return [tuple(stack) for stack in stacks.values()]


def _side_by_side(plan: Plan, place: Place, stacks: list[tuple[int, ...]], tell: Tell) -> None:
    """Each stack in a process of its own, as many at once as there are cores for their threads."""

    waiting, working = list(stacks), dict[connection.Connection, SpawnProcess]()
    room = max(1, _cores() // place.threads)
    try:
        while waiting or working:
            while waiting and len(working) < room:
                receiver, sender = Pipe(duplex=False)
                working[receiver] = workers.started(_work, plan.recipe.dump(), place, waiting.pop(0), sender)
                sender.close()
            ready = connection.wait(list(working))
            for pipe in [pipe for pipe in working if pipe in ready]:
                _listen(pipe, working, tell)
    finally:
        for process in working.values():
            process.kill()
        for process in working.values():
            process.join()


def _listen(pipe: connection.Connection, working: dict[connection.Connection, SpawnProcess], tell: Tell) -> None:
    """Passes one worker's news on; a worker that has ended leaves the list, or ends it all by its error."""

    try:
        message = pipe.recv()
    except (EOFError, OSError):
        message = None
    if isinstance(message, News):
        tell(message)
        return
    process = working.pop(pipe)
    process.join()
    if message is not None:
        raise LthError(message)
    if process.exitcode and process.exitcode < 0:
        raise LthError(f'A worker process was ended by signal {-process.exitcode}; perhaps memory ran out. Whole '
                       'rounds are kept: the same command goes on from there.')
    if process.exitcode:
        raise RuntimeError('a worker process failed; its traceback stands above')


def _work(recipe: Raw, place: Place, seeds: tuple[int, ...], pipe: connection.Connection) -> None:
    """What a worker process does."""

    try:
        plan = planned(recipe, 'recipe.yaml')
        engine = engines.chosen(place.device, threads=place.threads, capturable=plan.capturable)
        data = plan.read(place.datasets)
        _search(plan.on(data), Run(place.folder, recipe, plan.network), engine, data, seeds, pipe.send)
    except LthError as error:
        pipe.send(str(error))
    pipe.close()


def _cores() -> int:
    """The cores this process may use."""

    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _environment(plan: Plan, engine: Engine, data: Dataset, threads: int) -> Raw:
    """The entry of this session in environment.json."""

    return {'lth': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            'machine': platform.platform(), 'command': sys.argv, 'engine': engine.name, 'device': str(engine.device),
            'threads': threads, 'reader': data.reader, 'pictures': data.fingerprint,
            'network': plan.network.fingerprint, 'directory': os.getcwd(),
            'start': datetime.now().astimezone().isoformat(timespec='seconds'),
            'seconds': 0., 'rounds': 0}


def _recorded(run: Run, session: Raw, tell: Tell) -> Tell:
    """Passes news on, and keeps this session's entry up to date from its first whole round on."""

    began = time.monotonic()

    def told(news: News) -> None:
        if news.saved:
            first = session['rounds'] == 0
            session.update(seconds=round(time.monotonic() - began, 1), rounds=session['rounds'] + len(news.seeds))
            run.record(session, first=first)
        tell(news)
    return told
