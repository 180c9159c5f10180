"""The contest: contenders take turns, so a machine that slows down slows them all; ratios are taken turn by turn."""
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.algorithms.trained_masks.parametrizations import Rounded, Top
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.benchmark.baseline_loop import baseline_loop
from lth.errors import LthError
from lth.experiments.plan import Plan, make_plan
from lth.pruning import masks, tickets
from lth.pruning.tickets import trainable_mask
from lth.recipes.durations import Duration
from lth.system import processes
from lth.system.files import Raw
from lth.system.memory import peak_memory
from lth.training.engines import select
from lth.training.task import Engine, Parametrization, Segment, State, Task

_TURN_SECONDS = 1.0
_WARMUP_STEPS = 5
# Iterations after which an engine starts anew.
_LONGEST = 100_000
# What is asked instead of a number of steps.
_MEMORY = 0

Trained = Literal['weights', 'gem-miner', 'edge-popup']
Apart = Literal['processes', 'threads']


class Contender(NamedTuple):
    """Who takes part: `usual`, or an engine on a device with R replicates, training weights or scores for them, or a
    random ticket of a density; `auto` is the engine that a run would take. Several seeds train at once, side by side.
    """

    engine: str
    device: str
    replicates: int = 1
    trained: Trained = 'weights'
    density: float = 1.
    seeds: int = 1
    apart: Apart = 'processes'


@dataclass(frozen=True)
class Row:
    """One contender's result: ms per step of all replicates and seeds, memory in MiB; how many times as fast per
    replicate and seed it is as the usual way, as the plain engine at the same density, and as one seed alone, if those
    took part.
    """

    engine: str
    density: float
    replicates: int
    seeds: int
    threads: int
    ms_per_step: float
    spread: float
    ratio: float
    over_eager: float | None
    over_one: float | None
    peak_memory: float


def contenders(
        device: str, plan: Plan, *, trained: Trained = 'weights', densities: Sequence[float] = (), seeds: int = 1,
) -> list[Contender]:
    """The usual way and every engine that applies on this device; also with scores trained in place of the weights, or
    on tickets of these densities; several seeds also at once, as processes and as threads.
    """

    place = select.resolve_device(device)
    names = ['eager', 'cuda-graph'] if place.type == 'cuda' and plan.capturable else ['eager']
    stacks = [1, 4, 16, 64] if place.type == 'cuda' and plan.network.stackable else [1]
    ours = [Contender(name, str(place), stack) for name in names for stack in stacks]
    scored = [one._replace(trained=trained) for one in ours if trained != 'weights']
    if densities:
        sparse = [Contender('sparse', str(place))] if place.type == 'cpu' and plan.obstacle is None else []
        ours = [one._replace(density=density) for density in densities for one in (*ours, *sparse)]
    entrants = [Contender('usual', str(place)), *ours, *scored]
    # Captures allow no other thread beside them.
    ways: tuple[Apart, ...] = ('processes', 'threads') if place.type == 'cpu' else ('processes',)
    return entrants + [one._replace(seeds=seeds, apart=way) for one in entrants[1:] for way in ways if seeds > 1]


def time_contenders(plan: Plan, datasets: Path, entrants: Sequence[Contender], *, threads: int, turns: int) -> list[Row]:
    """Times all contenders in turn, each in processes of its own with their own memory; the first is the usual way."""

    if plan.streamed:
        raise LthError('lth bench times pictures in memory: these are streamed. Use --set data.storage=memory if '
                       'they fit, or a smaller data.size.')
    teams, steps, children = list[list[connection.Connection]](), list[int](), list[SpawnProcess]()
    try:
        for entrant in entrants:
            teams.append([])
            for _ in range(entrant.seeds if entrant.apart == 'processes' else 1):
                ours, theirs = multiprocessing.Pipe()
                children.append(processes.start_process(_compete, entrant, plan.recipe.dump(), datasets, threads, theirs))
                theirs.close()
                teams[-1].append(ours)
            # They find their pace before the next ones start.
            steps.append(int(min(_answer(pipe) for pipe in teams[-1])))
        # Turn by turn, one team at a time: the others wait and use no core.
        laps = [[max(_asked(team, count)) for team, count in zip(teams, steps, strict=True)] for _ in range(turns)]
        memory = [sum(_asked(team, _MEMORY)) for team in teams]
    finally:
        for process in children:
            process.kill()
            process.join()
    return _rows(entrants, threads, [list(times) for times in zip(*laps, strict=True)], memory)


def _rows(entrants: Sequence[Contender], threads: int, times: list[list[float]], memory: list[float]) -> list[Row]:
    """Medians over turns; the spread is half the distance from fastest to slowest turn, as a share of the median."""

    def over(place: int, other: Contender) -> float | None:
        entrant = entrants[place]
        if other == entrant or other not in entrants or entrant.engine == 'usual':
            return None
        return entrant.seeds / other.seeds * _ratio(times[entrants.index(other)], times[place])

    rows = []
    for place, entrant in enumerate(entrants):
        ours, median = times[place], statistics.median(times[place])
        spread = (max(ours) - min(ours)) / 2 / median
        rows.append(Row(
            _named(entrant), entrant.density, entrant.replicates, entrant.seeds, threads, median, spread,
            entrant.replicates * entrant.seeds * _ratio(times[0], ours), over(place, entrant._replace(engine='eager')),
            over(place, entrant._replace(seeds=1, apart='processes')), memory[place]))
    return rows


def _named(entrant: Contender) -> str:
    """The engine, what it trains if not weights, and how seeds are kept apart."""

    trained = [] if entrant.trained == 'weights' else [entrant.trained]
    return ', '.join([entrant.engine, *trained, *[f'{entrant.seeds} {entrant.apart}'] * (entrant.seeds > 1)])


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def _asked(team: Sequence[connection.Connection], steps: int) -> list[float]:
    """What each of a team answers, having started together."""

    for pipe in team:
        pipe.send(steps)
    return [_answer(pipe) for pipe in team]


def _answer(pipe: connection.Connection) -> float:
    try:
        answer = pipe.recv()
    except EOFError:
        raise LthError('A contender ended unexpectedly; perhaps memory ran out.') from None
    if isinstance(answer, str):
        raise LthError(answer)
    return float(answer)


def _compete(entrant: Contender, recipe: Raw, datasets: Path, threads: int, pipe: connection.Connection) -> None:
    """A contender's process: says how many steps take about a second, then takes as many as it is asked for."""

    try:
        advance, wait = _prepared(entrant, recipe, datasets, threads)
        _timed(advance, wait, _WARMUP_STEPS)
        pace = _timed(advance, wait, _WARMUP_STEPS)
        pipe.send(min(max(3, round(_TURN_SECONDS / pace)), _LONGEST // 2))
        while True:
            steps = pipe.recv()
            pipe.send(peak_memory() if steps == _MEMORY else 1000 * _timed(advance, wait, steps))
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

    plan = make_plan(recipe, 'bench')
    device, usual = torch.device(entrant.device), entrant.engine == 'usual'
    if usual:
        # The baseline runs with the processor and the allocator as they are by default.
        torch.set_num_threads(threads)
    else:
        select.configure_process(threads=threads, device=device)
    engine = _engine(entrant.engine, device, plan)
    training = plan.recipe.training.model_copy(update={'length': Duration(_LONGEST, 'iterations')})
    data = plan.read(datasets)
    task = replace(plan.task(data.to(engine.device), range(entrant.replicates), engine), training=training)
    wait = torch.cuda.synchronize if engine.device.type == 'cuda' else _nothing
    if usual:
        steps = baseline_loop(replace(task, data=data))
        return lambda count: _exhaust(steps, count), wait
    size = entrant.replicates
    several = [_engine_steps(replace(task, seeds=tuple(range(first, first + size))), entrant)
               for first in range(0, size * (1 if entrant.apart == 'processes' else entrant.seeds), size)]
    return several[0] if len(several) == 1 else _at_once(several), wait


def _engine(name: str, place: torch.device, plan: Plan) -> Engine:
    """The engine of a contender; the usual way has the plain one's device only."""

    if name == 'auto':
        return select.select_engine(str(place), capturable=plan.capturable, obstacle=plan.obstacle)
    if name == 'sparse':
        return select.SparseCpu(place, always=True)
    return select.CudaGraph(place) if name == 'cuda-graph' else select.Eager(place)


def _engine_steps(task: Task, entrant: Contender) -> Callable[[int], None]:
    """The engine through its contract, one stop per call."""

    start = _ticket(task, entrant.density)
    learned, live = start.weights, trainable_mask(task.network.layout, start.mask)
    parametrization = _parametrization(task, start.weights, entrant.trained)
    if parametrization:
        learned, live = torch.rand_like(start.weights[:, :task.network.layout.prunable_count]), start.mask
    wanted: list[int] = []

    def stops() -> Iterator[int]:
        while sum(wanted) <= task.steps:
            yield sum(wanted)

    def begun() -> Iterator[Segment]:
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


def _at_once(several: Sequence[Callable[[int], None]]) -> Callable[[int], None]:
    """All of them, each in a thread."""

    threads = ThreadPoolExecutor(len(several))

    def advance(steps: int) -> None:
        for done in [threads.submit(one, steps) for one in several]:
            done.result()
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


def _ticket(task: Task, density: float) -> tickets.Ticket:
    """A random ticket that keeps this share of every layer, at least one weight."""

    start = tickets.dense_ticket(task)
    if density == 1:
        return start
    weights, mask, random = start.weights.clone(), start.mask.clone(), rng.generator(0, 'bench')
    for slot in task.network.layout.prunable_slots:
        scores = torch.rand(len(mask), slot.size, generator=random).to(mask.device)
        part = mask[:, slot.start:slot.stop]
        part.copy_(masks.keep_best(scores, part, max(1, round(density * slot.size)), seeds=task.seeds))
    weights[:, :mask.shape[1]] *= mask
    return replace(start, mask=mask, weights=weights)


def _exhaust(steps: Iterator[None], count: int) -> None:
    for _ in range(count):
        next(steps)


def _nothing() -> None:
    """The CPU has done a step when the call returns."""
