"""One sitting at a run: rounds go to disk as they are found, seeds run side by side, news goes to whoever watches.

On the CPU every seed is a process of one thread: stacking gains nothing there, and threads that wait for one another
cost much.
"""
import contextlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lth import __version__, engines, locks
from lth.datasets import Dataset
from lth.errors import LthError
from lth.plan import Plan, planned
from lth.recipe import Raw
from lth.runs import Run
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


def search(plan: Plan, place: Place, seeds: Sequence[int], tell: Tell) -> Run:
    """Does what is missing of the run, and nothing else; the rounds that are whole stay whatever stops it."""

    engine = engines.chosen(place.device, threads=place.threads)
    run = Run(place.folder, plan.recipe.dump(), plan.network)
    run.refuse_foreign()
    open_seeds = [seed for seed in seeds if run.rounds(seed) < len(plan.kept)]
    if not open_seeds:
        return run
    data = plan.source.read(place.datasets)
    with locks.held(place.folder):
        run.tidy()
        told = _recorded(run, _environment(engine.name, str(engine.device), place.threads), tell)
        for seed in seeds:
            told(News((seed,), min(run.rounds(seed), len(plan.kept) - 1), 0 if seed in open_seeds else plan.steps))
        stacks = _stacks(engines.groups(engine, plan.network, open_seeds), run)
        if len(stacks) == 1 or engine.device.type != 'cpu':
            for stack in stacks:
                _search(plan, run, engine, data.to(engine.device), stack, told)
        else:
            _side_by_side(plan, place, stacks, told)
    return run


def _search(plan: Plan, run: Run, engine: Engine, data: Dataset, seeds: tuple[int, ...], tell: Tell) -> None:
    """The missing rounds of some seeds, in this process."""

    past = run.past(seeds, engine.device)
    number = len(past)
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
                pipe, process = _started(plan.recipe.dump(), place, waiting.pop(0))
                working[pipe] = process
            for pipe in [pipe for pipe in working if pipe in connection.wait(list(working))]:
                message = _received(pipe)
                if isinstance(message, News):
                    tell(message)
                    continue
                process = working.pop(pipe)
                process.join()
                if message is not None or process.exitcode:
                    raise LthError(message or f'A worker process ended unexpectedly (exit code {process.exitcode}); '
                                   'perhaps memory ran out. Whole rounds are kept: the same command goes on from '
                                   'there.')
    finally:
        for process in working.values():
            process.kill()
        for process in working.values():
            process.join()


def _started(recipe: Raw, place: Place, seeds: tuple[int, ...]) -> tuple[connection.Connection, SpawnProcess]:
    """A worker process for some seeds and the end of the pipe on which it tells its news."""

    context = multiprocessing.get_context('spawn')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(recipe, place, seeds, sender), daemon=True)
    # Ctrl-C reaches the whole terminal group: the worker is to leave it to this process, from its first moment on.
    with _deaf_to_interrupts():
        process.start()
    sender.close()
    return receiver, process


def _work(recipe: Raw, place: Place, seeds: tuple[int, ...], pipe: connection.Connection) -> None:
    """What a worker process does; it ends with its parent, however that ends."""

    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        plan = planned(recipe, 'recipe.yaml')
        engine = engines.chosen(place.device, threads=place.threads)
        data = plan.source.read(place.datasets)
        _search(plan, Run(place.folder, recipe, plan.network), engine, data, seeds, pipe.send)
    except LthError as error:
        pipe.send(str(error))
    pipe.close()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # pylint: disable=protected-access # at once, in the middle of a step: whole rounds are on disk


def _received(pipe: connection.Connection) -> Any:
    """News, or the text of an error, or None when the worker has ended."""

    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cores() -> int:
    """The cores this process may use."""

    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _environment(engine: str, device: str, threads: int) -> Raw:
    """The entry of this session in environment.json."""

    return {'lth': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            'machine': platform.platform(), 'command': sys.argv, 'engine': engine, 'device': device, 'threads': threads,
            'start': datetime.now().astimezone().isoformat(timespec='seconds'), 'seconds': 0., 'rounds': 0}


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
