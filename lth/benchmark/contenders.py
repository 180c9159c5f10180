"""Contenders of a benchmark: loops without lth, and each engine of lth that can train a recipe on a device.

To add a loop, give it a name here, and make its trainer in `trainers.py`.
"""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from lth.algorithms import ALGORITHMS
from lth.benchmark import sparselab_loop
from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.training.engines import select
from lth.training.engines.cuda.compilation import compiler_obstacle

# Loops without lth.
BASELINE, EXPERT, SPARSELAB = LOOPS = 'baseline', 'expert', 'sparselab'
# Engines that some recipes and devices do not have.
SPARSE, CUDA_GRAPH, COMPILED = 'sparse', 'cuda-graph', 'cuda-graph, compiled'
STACKED = f'{COMPILED}, stacked'
# Of sparse training that lth and sparselab have.
MOVING_METHODS = 'rigl', 'set'
Workers = Literal['processes', 'threads']


@dataclass(frozen=True)
class Contender:
    """What is timed on a device.

    engine: `baseline`, `expert`, `sparselab`, the name of an engine, or `auto` for the engine that a run would use.
    replicates: number of networks that are trained together.
    algorithm: the algorithm whose scores are trained; None if weights are trained.
    density: share of the weights that a random ticket keeps in each layer.
    method: the method of sparse training by which the mask moves every 100 iterations; None if it does not move.
    seeds: number of such trainings at the same time, each in its own process or thread.
    """

    engine: str
    device: str
    replicates: int = 1
    algorithm: str | None = None
    density: float = 1.
    method: str | None = None
    seeds: int = 1
    workers: Workers = 'processes'

    def __str__(self) -> str:
        parts = [self.engine]
        parts += [name for name in (self.algorithm, self.method) if name]
        if self.seeds > 1:
            parts.append(f'{self.seeds} {self.workers}')
        return ', '.join(parts)


def contenders(
        device: str, plan: Plan, *, algorithm: str | None = None, densities: Sequence[float] = (), seeds: int = 1,
) -> list[Contender]:
    """The baseline, the expert, and all engines that can train the recipe, on tickets of these densities if some are
    given; then the engines that train the scores of an algorithm; then all engines with several seeds.
    """

    resolved = select.resolve_device(device)
    engines = _engine_contenders(resolved, plan)
    single = _ticket_contenders(engines, densities, resolved, plan) if densities else engines
    if algorithm:
        # The sparse engine trains weights only.
        single = single + [replace(one, algorithm=algorithm) for one in engines if one.engine != SPARSE]
    several = _seed_contenders(single, seeds, resolved) if seeds > 1 else []
    return [*loops(resolved), *single, *several]


def moving_contenders(device: str, plan: Plan, densities: Sequence[float]) -> list[Contender]:
    """The loops, and at each density the engines that can train the recipe while RigL and SET move the mask; on a CPU
    also sparselab with its own RigL and SET, if it is installed.
    """

    resolved = select.resolve_device(device)
    one = [engine for engine in _engine_contenders(resolved, plan) if engine.replicates == 1]
    rows = _ticket_contenders(one, [density for density in densities if density < 1], resolved, plan)
    return [*loops(resolved), *(replace(row, method=method) for row in rows for method in MOVING_METHODS)]


def loops(device: torch.device) -> list[Contender]:
    """The loops that train the dense network without lth: the baseline first, then the expert."""

    return [Contender(BASELINE, str(device)), Contender(EXPERT, str(device))]


def algorithm_with_scores(name: str) -> str | None:
    """The registered name of an algorithm whose training of scores can be timed, None if it trains weights only."""

    algorithm = ALGORITHMS.find(name)
    if algorithm.settings.trains == 'each':
        return None
    if algorithm.benchmark_step is None:
        names = [known for known in ALGORITHMS.names() if ALGORITHMS.find(known).benchmark_step]
        raise LthError(f'--algorithm: the training of {name} cannot be timed. Give one of {", ".join(names)}.')
    return ALGORITHMS.canonical(name)


def _engine_contenders(device: torch.device, plan: Plan) -> list[Contender]:
    """The engines that can train the recipe, on a GPU with several numbers of replicates."""

    if device.type == 'cpu':
        engines = ['eager'] if plan.sparse_obstacle else ['eager', SPARSE]
        return [Contender(engine, str(device)) for engine in engines]
    captured = _captured_engines(device, plan)
    if plan.network.stackable:
        return [Contender(engine, str(device), count) for engine in ['eager', *captured] for count in (1, 4, 16, 64)]
    # Replicates of other networks are parallel branches of a captured step, or share the kernels of convolutions.
    stacked = [Contender(STACKED, str(device), 8)] if COMPILED in captured else []
    return [Contender('eager', str(device)),
            *(Contender(engine, str(device), count) for engine in captured for count in (1, 8)), *stacked]


def _captured_engines(device: torch.device, plan: Plan) -> list[str]:
    if not plan.capturable:
        return []
    compiles = plan.compile_obstacle is None and compiler_obstacle(device) is None
    return [CUDA_GRAPH, COMPILED] if compiles else [CUDA_GRAPH]


def _ticket_contenders(
        engines: list[Contender], densities: Sequence[float], device: torch.device, plan: Plan) -> list[Contender]:
    """The engines at each density, and on a CPU sparselab, if it is installed, where weights are pruned."""

    rivals = list[Contender]()
    if device.type == 'cpu' and plan.sparse_obstacle is None and sparselab_loop.can_train(plan.network):
        rivals.append(Contender(SPARSELAB, str(device)))
    return [replace(contender, density=density) for density in densities
            for contender in (engines if density == 1 else [*engines, *rivals])]


def _seed_contenders(single: list[Contender], seeds: int, device: torch.device) -> list[Contender]:
    # While a CUDA graph is captured, no other thread may use the GPU.
    workers: list[Workers] = ['processes', 'threads'] if device.type == 'cpu' else ['processes']
    engines = [contender for contender in single if contender.engine != SPARSELAB]
    return [replace(contender, seeds=seeds, workers=kind) for contender in engines for kind in workers]
