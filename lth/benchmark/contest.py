"""The contest: contenders take turns, so a machine that slows down slows them all; ratios are taken turn by turn."""
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lth import engines, tickets, workers
from lth.algorithms.regularizers import Penalty
from lth.algorithms.straight_through import Rounded, Top
from lth.benchmark.memory import peak_memory
from lth.benchmark.usual import usual_way
from lth.errors import LthError
from lth.lengths import Span
from lth.plan import Plan, planned
from lth.recipe import Raw
from lth.task import Advance, Parametrization, State, Task
from lth.tickets import trainable

_TURN_SECONDS = 1.0
_WARMUP_STEPS = 5
# Iterations after which an engine starts anew.
_LONGEST = 100_000


Trained = Literal['weights', 'gem-miner', 'edge-popup']


class Contender(NamedTuple):
    """Who takes part: `usual`, or an engine on a device with R replicates, training weights or scores for them."""

    engine: str
    device: str
    replicates: int
    trained: Trained = 'weights'


@dataclass(frozen=True)
class Row:
    """One contender's result: ms per step of all replicates, ratio over the usual way per replicate, memory in MiB."""

    engine: str
    density: float
    replicates: int
    threads: int
    ms_per_step: float
    spread: float
    ratio: float
    peak_memory: float


def contenders(device: str, plan: Plan, trained: Trained) -> list[Contender]:
    """The usual way and every engine that applies on this device; also with scores trained in place of the weights."""

    place = engines.chosen(device, threads=1).device
    names = ['plain', 'cuda-graph'] if place.type == 'cuda' and plan.capturable else ['plain']
    stacks = [1, 16] if place.type == 'cuda' and plan.network.stackable else [1]
    ours = [Contender(name, str(place), stack) for name in names for stack in stacks]
    scored = [one._replace(trained=trained) for one in ours if trained != 'weights']
    return [Contender('usual', str(place), 1), *ours, *scored]


def contest(
        plan: Plan, datasets: Path, device: str, *, threads: int, turns: int, trained: Trained = 'weights') -> list[Row]:
    """Times all contenders in turn, each in its own process with its own memory."""

    if plan.streamed:
        raise LthError('lth bench times pictures in memory: these are streamed. Use --set data.storage=memory if '
                       'they fit, or a smaller data.size.')
    entrants, pipes, processes = contenders(device, plan, trained), [], []
    try:
        for entrant in entrants:
            ours, theirs = multiprocessing.Pipe()
            processes.append(workers.started(_compete, entrant, plan.recipe.dump(), datasets, threads, theirs))
            theirs.close()
            pipes.append(ours)
            _answer(ours)
        # Turn by turn, one at a time: the others wait and use no core.
        laps = [[_ask(pipe, 'go') for pipe in pipes] for _ in range(turns)]
        memory = [_ask(pipe, 'memory') for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [_row(entrant, threads, [lap[place] for lap in laps], [lap[0] for lap in laps], memory[place])
            for place, entrant in enumerate(entrants)]


def _row(entrant: Contender, threads: int, times: list[float], usual: list[float], memory: float) -> Row:
    """Medians over turns; the spread is half the distance from fastest to slowest turn, as a share of the median."""

    median = statistics.median(times)
    ratio = statistics.median(entrant.replicates * theirs / ours for ours, theirs in zip(times, usual, strict=True))
    spread = (max(times) - min(times)) / 2 / median
    name = entrant.engine if entrant.trained == 'weights' else f'{entrant.engine}, {entrant.trained}'
    return Row(name, 1., entrant.replicates, threads, median, spread, ratio, memory)


def _ask(pipe: connection.Connection, question: str) -> float:
    pipe.send(question)
    return _answer(pipe)


def _answer(pipe: connection.Connection) -> float:
    try:
        answer = pipe.recv()
    except EOFError:
        raise LthError('A contender ended unexpectedly; perhaps memory ran out.') from None
    if isinstance(answer, str):
        raise LthError(answer)
    return float(answer)


def _compete(entrant: Contender, recipe: Raw, datasets: Path, threads: int, pipe: connection.Connection) -> None:
    """A contender's process: ready, then a turn of about a second whenever asked."""

    try:
        advance, wait = _prepared(entrant, recipe, datasets, threads)
        _timed(advance, wait, _WARMUP_STEPS)
        pace = _timed(advance, wait, _WARMUP_STEPS)
        steps = min(max(3, round(_TURN_SECONDS / pace)), _LONGEST // 2)
        pipe.send(0.)
        while True:
            pipe.send(peak_memory() if pipe.recv() == 'memory' else 1000 * _timed(advance, wait, steps))
    except LthError as error:
        pipe.send(str(error))
    except (EOFError, BrokenPipeError):
        pass


def _timed(advance: Callable[[int], None], wait: Callable[[], None], steps: int) -> float:
    """Seconds a step."""

    began = time.perf_counter()
    advance(steps)
    wait()
    return (time.perf_counter() - began) / steps


def _prepared(
        entrant: Contender, recipe: Raw, datasets: Path, threads: int,
) -> tuple[Callable[[int], None], Callable[[], None]]:
    """A function that trains that many steps, and one that waits until they are done."""

    plan = planned(recipe, 'bench')
    torch.set_num_threads(threads)
    # The usual way has the processor and the allocator as they are by default; `chosen` changes both.
    usual = entrant.engine == 'usual'
    place = torch.device(entrant.device) if usual else engines.chosen(entrant.device, threads=threads).device
    engine = engines.CudaGraph(place) if entrant.engine == 'cuda-graph' else engines.Plain(place)
    training = plan.recipe.training.model_copy(update={'length': Span(_LONGEST, 'iterations')})
    data = plan.read(datasets)
    task = replace(plan.task(data.to(engine.device), range(entrant.replicates), engine), training=training)
    wait = torch.cuda.synchronize if engine.device.type == 'cuda' else _nothing
    if usual:
        steps = usual_way(replace(task, data=data))
        return lambda count: _exhaust(steps, count), wait
    return _engine_steps(task, entrant.trained), wait


def _engine_steps(task: Task, trained: Trained) -> Callable[[int], None]:
    """The engine through its contract, one stop per call."""

    start = tickets.fresh(task)
    learned, live = start.weights, trainable(task.network.layout, start.mask)
    parametrization = _parametrization(task, start.weights, trained)
    if parametrization:
        learned, live = torch.rand_like(start.weights[:, :task.network.layout.prunable]), start.mask
    wanted: list[int] = []

    def stops() -> Iterator[int]:
        while sum(wanted) <= task.steps:
            yield sum(wanted)

    def begun() -> Iterator[Advance]:
        state = State(learned, start.buffers)
        return task.engine.run(task, state, trainable=live, stops=stops(), parametrization=parametrization)

    run = begun()

    def advance(steps: int) -> None:
        nonlocal run
        if sum(wanted) + steps > task.steps:
            wanted.clear()
            run = begun()
        wanted.append(steps)
        next(run)
    return advance


def _parametrization(task: Task, weights: Tensor, trained: Trained) -> Parametrization | None:
    """What scores make of weights: Gem-Miner's rounding, or edge-popup's choice of a tenth of each layer."""

    if trained == 'weights':
        return None
    if trained == 'gem-miner':
        return Rounded(weights, Penalty(1e-4))
    slots = task.network.layout.prunable_slots
    return Top(weights, Penalty(0.), [(slot.start, slot.stop) for slot in slots],
               [max(1, slot.size // 10) for slot in slots])


def _exhaust(steps: Iterator[None], count: int) -> None:
    for _ in range(count):
        next(steps)


def _nothing() -> None:
    """The CPU has done a step when the call returns."""
