"""Contenders of a benchmark: the baseline, and each engine of lth that can train a recipe on a device."""
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.training.engines import select

BASELINE = 'baseline'
Workers = Literal['processes', 'threads']


@dataclass(frozen=True)
class Contender:
    """What is timed on a device.

    engine: `baseline`, the name of an engine, or `auto` for the engine that a run would use.
    replicates: number of networks that are trained together.
    algorithm: the algorithm whose scores are trained; None if weights are trained.
    density: share of the weights that a random ticket keeps in each layer.
    seeds: number of such trainings at the same time, each in its own process or thread.
    """

    engine: str
    device: str
    replicates: int = 1
    algorithm: str | None = None
    density: float = 1.
    seeds: int = 1
    workers: Workers = 'processes'

    def __str__(self) -> str:
        parts = [self.engine]
        if self.algorithm:
            parts.append(self.algorithm)
        if self.seeds > 1:
            parts.append(f'{self.seeds} {self.workers}')
        return ', '.join(parts)


def contenders(
        device: str, plan: Plan, *, algorithm: str | None = None, densities: Sequence[float] = (), seeds: int = 1,
) -> list[Contender]:
    """The baseline and all engines that can train the recipe, on tickets of these densities if some are given; then the
    engines that train the scores of an algorithm; then all of these except the baseline with several seeds.
    """

    resolved = select.resolve_device(device)
    dense = _dense_contenders(resolved, plan)
    single = _ticket_contenders(dense, densities, resolved, plan) if densities else dense
    if algorithm:
        single = single + [replace(contender, algorithm=algorithm) for contender in dense]
    several = _seed_contenders(single, seeds, resolved) if seeds > 1 else []
    return [Contender(BASELINE, str(resolved)), *single, *several]


def algorithm_with_scores(name: str) -> str | None:
    """The registered name of an algorithm whose training of scores can be timed, None if it trains weights only."""

    algorithm = ALGORITHMS.find(name)
    if algorithm.settings.trains == 'each':
        return None
    if algorithm.benchmark_step is None:
        names = [known for known in ALGORITHMS.names() if ALGORITHMS.find(known).benchmark_step]
        raise LthError(f'--algorithm: the training of {name} cannot be timed. Give one of {", ".join(names)}.')
    return ALGORITHMS.canonical(name)


def _dense_contenders(device: torch.device, plan: Plan) -> list[Contender]:
    """Engines that train dense networks, on a GPU with several numbers of replicates."""

    on_gpu = device.type == 'cuda'
    engines = ['eager', 'cuda-graph'] if on_gpu and plan.capturable else ['eager']
    replicates = [1, 4, 16, 64] if on_gpu and plan.network.stackable else [1]
    return [Contender(engine, str(device), count) for engine in engines for count in replicates]


def _ticket_contenders(
        dense: list[Contender], densities: Sequence[float], device: torch.device, plan: Plan) -> list[Contender]:
    """Engines that train tickets: those for dense networks and the sparse engine, at each density."""

    engines = list(dense)
    if device.type == 'cpu' and plan.obstacle is None:
        engines.append(Contender('sparse', str(device)))
    return [replace(contender, density=density) for density in densities for contender in engines]


def _seed_contenders(single: list[Contender], seeds: int, device: torch.device) -> list[Contender]:
    # While a CUDA graph is captured, no other thread may use the GPU.
    workers: list[Workers] = ['processes', 'threads'] if device.type == 'cpu' else ['processes']
    return [replace(contender, seeds=seeds, workers=kind) for contender in single for kind in workers]
