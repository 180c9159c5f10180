"""Trainers: functions that train a number of steps and return when these are done, one for each contender."""
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lth import rng
from lth.algorithms import ALGORITHMS
from lth.algorithms.sparse_training.generator import Moves, start_state
from lth.algorithms.sparse_training.settings import Settings
from lth.benchmark.baseline_loop import baseline_loop
from lth.benchmark.contenders import (
    BASELINE, COMPILED, CUDA_GRAPH, EXPERT, LOOPS, SPARSE, SPARSELAB, STACKED, Contender)
from lth.benchmark.expert_loop import expert_loop
from lth.benchmark.sparselab_loop import sparselab_loop
from lth.datasets import Dataset
from lth.errors import LthError
from lth.experiments import run_target
from lth.experiments.plan import Plan, make_plan
from lth.pruning import masks
from lth.pruning.tickets import Ticket, dense_ticket
from lth.recipes.durations import Duration
from lth.system.yaml_text import Raw
from lth.training.engines import select
from lth.training.moving_masks import segments_with_events
from lth.training.state import Segment, State
from lth.training.task import Engine, Parametrization, Task

# A training has this many iterations and then starts again.
MAX_STEPS = 100_000

Trainer = Callable[[int], None]


def make_trainer(contender: Contender, recipe: Raw, datasets: Path, *, threads: int) -> Trainer:
    """The trainer of a contender, in a process that is configured for it."""

    plan, device = make_plan(recipe, 'bench'), torch.device(contender.device)
    if contender.engine in LOOPS:
        torch.set_num_threads(threads)  # everything else as PyTorch has it by default
    else:
        select.configure_process(threads=threads, device=device)
    trainer = _trainer(contender, plan, plan.read(datasets))

    def train_and_wait(steps: int) -> None:
        trainer(steps)
        if device.type == 'cuda':
            torch.cuda.synchronize()
    return train_and_wait


def refuse_streamed(plan: Plan) -> None:
    """LthError if a plan's images are streamed."""

    if plan.streamed:
        raise LthError('lth bench needs the images in memory, but this recipe streams them. Use '
                       '--set data.storage=memory if they fit, or a smaller data.size.')


def random_ticket(task: Task, density: float) -> Ticket:
    """A random ticket that keeps this share of each layer, and at least one weight."""

    ticket = dense_ticket(task)
    if density == 1:
        return ticket
    weights, mask, random = ticket.weights.clone(), ticket.mask.clone(), rng.generator(0, 'bench')
    for slot in task.network.layout.prunable_slots:
        scores = torch.rand(len(mask), slot.size, generator=random).to(mask.device)
        part = mask[:, slot.start:slot.stop]
        part.copy_(masks.keep_best(scores, part, max(1, round(density * slot.size)), seeds=task.seeds))
    weights[:, :mask.shape[1]] *= mask
    return replace(ticket, mask=mask, weights=weights)


class EngineTrainer:
    """Trains by an engine's `run`, with one stop for each call."""

    def __init__(self, task: Task, contender: Contender) -> None:
        ticket = random_ticket(task, contender.density)
        layout = task.network.layout
        self._task = task
        self._parametrization = _parametrization(task, ticket.weights, contender.algorithm)
        if self._parametrization:
            scores = torch.rand_like(ticket.weights[:, :layout.prunable_count])
            self._state, self._trainable = State(scores, ticket.buffers), ticket.mask
        else:
            self._state = State(ticket.weights, ticket.buffers)
            self._trainable = layout.trainable_mask(ticket.mask)
        self._segments = self._start()

    def __call__(self, steps: int) -> None:
        if self._stop + steps > self._task.steps:
            self._segments = self._start()
        self._stop += steps
        next(self._segments)

    def _start(self) -> Iterator[Segment]:
        self._stop = 0
        return self._task.engine.run(self._task, self._state, trainable=self._trainable, stops=self._stops(),
                                     parametrization=self._parametrization)

    def _stops(self) -> Iterator[int]:
        while self._stop <= self._task.steps:
            yield self._stop


class MovingTrainer:
    """Trains by an engine while a method moves the mask: it replaces 30% of the weights every 100 iterations."""

    def __init__(self, task: Task, contender: Contender) -> None:
        self._settings = Settings.model_validate({
            'name': 'sparse-training', 'method': contender.method, 'density': contender.density, 'layers': 'uniform',
            'update_every': '100 iterations', 'update_until': f'{task.steps} iterations', 'drop_schedule': 'constant'})
        self._task = task
        self._segments = self._start()

    def __call__(self, steps: int) -> None:
        if self._stop + steps > self._task.steps:
            self._segments = self._start()
        self._stop += steps
        next(segment for segment in self._segments if segment.state.step >= self._stop)

    def _start(self) -> Iterator[Segment]:
        self._stop = 0
        state = start_state(self._task, self._settings, dense_ticket(self._task))
        return segments_with_events(self._task, state, self._stops(), Moves(self._task, self._settings))

    def _stops(self) -> Iterator[int]:
        while True:
            yield self._stop


def _trainer(contender: Contender, plan: Plan, data: Dataset) -> Trainer:
    engine = _engine(contender.engine, torch.device(contender.device), plan)
    training = plan.recipe.training.model_copy(update={'length': Duration(MAX_STEPS, 'iterations')})
    size = contender.replicates
    task = replace(plan.task(data.to(engine.device), range(size), engine), training=training)
    if contender.engine == BASELINE:
        return _iterator_trainer(baseline_loop(replace(task, data=data)))
    if contender.engine == EXPERT:
        return _iterator_trainer(expert_loop(task))
    if contender.engine == SPARSELAB:
        return _iterator_trainer(sparselab_loop(task, contender.density, contender.method))
    if contender.method:
        return MovingTrainer(task, contender)
    groups = contender.seeds if contender.workers == 'threads' else 1
    return _threaded_trainer([
        EngineTrainer(replace(task, seeds=tuple(range(first, first + size))), contender)
        for first in range(0, size * groups, size)])


def _engine(name: str, device: torch.device, plan: Plan) -> Engine:
    """The engine of a contender. Loops without lth use only the device of the eager engine."""

    if name == 'auto':
        return run_target.select_engine(plan, run_target.RunTarget(Path(), Path(), str(device)))
    if name == SPARSE:
        return select.SparseCpu(device, always=True)
    if name in (CUDA_GRAPH, COMPILED, STACKED):
        return select.CudaGraph(
            device, compiles=name != CUDA_GRAPH, replicates='stacked' if name == STACKED else 'branches')
    return select.Eager(device)


def _parametrization(task: Task, weights: Tensor, algorithm: str | None) -> Parametrization | None:
    """How weights depend on the scores of an algorithm; None if weights are trained."""

    step = ALGORITHMS.find(algorithm).benchmark_step if algorithm else None
    return step(task, weights) if step else None


def _iterator_trainer(steps: Iterator[None]) -> Trainer:
    def train(count: int) -> None:
        for _ in range(count):
            next(steps)
    return train


def _threaded_trainer(trainers: Sequence[Trainer]) -> Trainer:
    """The only trainer, or one that runs several at the same time, each in a thread."""

    if len(trainers) == 1:
        return trainers[0]
    pool = ThreadPoolExecutor(len(trainers))

    def train(steps: int) -> None:
        for future in [pool.submit(trainer, steps) for trainer in trainers]:
            future.result()
    return train
