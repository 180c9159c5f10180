"""Time per step of several contenders. They are timed in turns, each in its own process, and ratios are taken within a
turn: if the machine becomes slower, all contenders do.
"""
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from lth.benchmark.contenders import BASELINE, EXPERT, SPARSELAB, Contender
from lth.benchmark.trainers import MAX_STEPS, Trainer, make_trainer, refuse_streamed
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.plan import Plan
from lth.system import processes
from lth.system.memory import peak_memory
from lth.system.yaml_text import Raw
from lth.training.engines.process_settings import check_threads

_TURN_SECONDS = 1.0
_WARMUP_STEPS = 5
# Sent to a process instead of a number of steps, to request its peak memory.
_MEMORY = 0


@dataclass(frozen=True)
class StepTime:
    """The time per step of a contender.

    ms_per_step: median over turns, in ms, for one step of all replicates and seeds.
    spread: half the range over turns, as a share of the median.
    ratio, over_expert, over_eager, over_sparselab, over_one: times as fast as the baseline, as the expert, as the eager
    engine and as sparselab at the same density, and as one seed alone, for each replicate and seed; None if that
    contender is missing. The last three are also None for the baseline, for the expert, and for that contender itself.
    peak_memory: in MiB, the sum over processes.
    """

    engine: str
    density: float
    replicates: int
    seeds: int
    threads: int
    ms_per_step: float
    spread: float
    ratio: float
    over_expert: float | None
    over_eager: float | None
    over_sparselab: float | None
    over_one: float | None
    peak_memory: float


def time_contenders(
        plan: Plan, datasets: Path, contenders: Sequence[Contender], *, threads: int, turns: int) -> list[StepTime]:
    """Time all contenders in turns, about a second each. The first one is the baseline."""

    refuse_streamed(plan)
    check_threads(threads)
    teams = list[_Team]()
    try:
        for contender in contenders:
            teams.append(_Team())
            teams[-1].start(contender, plan.recipe.dump(), datasets, threads)
        # One team at a time; the others wait and use no core.
        turn_times = [[team.time_steps() for team in teams] for _ in range(turns)]
        memory = [sum(team.request(_MEMORY)) for team in teams]
    finally:
        for team in teams:
            team.kill()
    times = [list(team_times) for team_times in zip(*turn_times, strict=True)]
    return [_step_time(contenders, index, threads, times, memory[index]) for index in range(len(contenders))]


class _Team:
    """The processes of a contender: one, or one for each seed."""

    def __init__(self) -> None:
        self._pipes: list[connection.Connection] = []
        self._processes: list[SpawnProcess] = []
        self._steps = 0

    def start(self, contender: Contender, recipe: Raw, datasets: Path, threads: int) -> None:
        """Start the processes, and wait until they know how many steps they train in a turn."""

        for _ in range(contender.seeds if contender.workers == 'processes' else 1):
            pipe, child_pipe = multiprocessing.Pipe()
            self._processes.append(
                processes.start_process(_serve, contender, recipe, datasets, threads, child_pipe))
            child_pipe.close()
            self._pipes.append(pipe)
        self._steps = int(min(_receive(pipe) for pipe in self._pipes))

    def time_steps(self) -> float:
        """Milliseconds per step in one turn, those of the slowest process."""

        return max(self.request(self._steps))

    def request(self, steps: int) -> list[float]:
        """The answers of all processes to the same request; they work at the same time."""

        for pipe in self._pipes:
            pipe.send(steps)
        return [_receive(pipe) for pipe in self._pipes]

    def kill(self) -> None:
        """End the processes."""

        for process in self._processes:
            process.kill()
            process.join()


def _receive(pipe: connection.Connection) -> float:
    try:
        answer = pipe.recv()
    except EOFError:
        raise LthError('A process of the benchmark ended unexpectedly; probably memory ran out. Close other programs, '
                       'or use fewer seeds or a smaller batch.', exit_code=ENVIRONMENT_ERROR) from None
    if isinstance(answer, LthError):
        raise answer
    return float(answer)


def _serve(contender: Contender, recipe: Raw, datasets: Path, threads: int, pipe: connection.Connection) -> None:
    """Run in a contender's process: send the number of steps in a turn, then answer requests until the pipe closes."""

    try:
        trainer = make_trainer(contender, recipe, datasets, threads=threads)
        _seconds_per_step(trainer, _WARMUP_STEPS)
        seconds = _seconds_per_step(trainer, _WARMUP_STEPS)
        pipe.send(min(max(3, round(_TURN_SECONDS / seconds)), MAX_STEPS // 2))
        while True:
            steps = pipe.recv()
            pipe.send(peak_memory() if steps == _MEMORY else 1000 * _seconds_per_step(trainer, steps))
    except LthError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError):
        pass


def _seconds_per_step(trainer: Trainer, steps: int) -> float:
    start = time.perf_counter()
    trainer(steps)
    return (time.perf_counter() - start) / steps


def _step_time(
        contenders: Sequence[Contender], index: int, threads: int, times: list[list[float]], memory: float) -> StepTime:
    contender, own = contenders[index], times[index]

    def over(other: Contender) -> float | None:
        """Times as fast as the other contender, for each replicate and seed."""

        if other not in contenders:
            return None
        networks = contender.replicates * contender.seeds / (other.replicates * other.seeds)
        return networks * _ratio(times[contenders.index(other)], own)

    def over_engine(other: Contender) -> float | None:
        """The same; None for loops that train the dense network, and for the contender itself."""

        return None if contender.engine in (BASELINE, EXPERT) or other == contender else over(other)

    median = statistics.median(own)
    return StepTime(
        str(contender), contender.density, contender.replicates, contender.seeds, threads, ms_per_step=median,
        spread=(max(own) - min(own)) / 2 / median, ratio=contender.replicates * contender.seeds * _ratio(times[0], own),
        over_expert=over(Contender(EXPERT, contender.device)),
        over_eager=over_engine(replace(contender, engine='eager')),
        over_sparselab=over_engine(replace(contender, engine=SPARSELAB)),
        over_one=over_engine(replace(contender, seeds=1, workers='processes')), peak_memory=memory)


def _ratio(slow: list[float], fast: list[float]) -> float:
    """Median over turns of the ratio of two times."""

    return statistics.median(first / second for first, second in zip(slow, fast, strict=True))
