"""Trainings that are interrupted between two measurements and continue from a snapshot end with the same bits."""
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lth.algorithms.trained_masks.parametrizations import Bernoulli, Rounded, Top
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.datasets.source import Shape
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.sparse_cpu.engine import SparseCpu
from lth.training.loop import train
from lth.training.state import Snapshot, State, TrainingStart
from lth.training.task import Parametrization, Task
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task
from tests.training.engines.test_dropout_rng import dropout_task


class Interruption(Exception):
    """Raised in place of a signal."""


class Memory:
    """Checkpoints in memory, which stop at every `every` iterations, and interrupt the training at `interrupt`."""

    def __init__(self, every: int, interrupt: int | None, saved: Snapshot | None = None) -> None:
        self.every, self.interrupt, self.saved = every, interrupt, saved

    def resume(self, _task: Task, _start: TrainingStart) -> Snapshot | None:
        return self.saved

    def next_stop(self, step: int) -> int:
        return step + self.every

    def is_due(self, step: int) -> bool:
        """Every other pause is passed."""

        return step % 4 == 2 or step == self.interrupt

    def keep(self, snapshot: Snapshot) -> None:
        self.saved = snapshot
        if self.interrupt is not None and snapshot.state.step >= self.interrupt:
            raise Interruption

    def check(self) -> None:
        """Never asked to end."""


class Streamed:
    """Images of a task as a stream."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.shape = images, tuple(images.shape)
        self.image_shape: Shape = images.shape[1], images.shape[2], images.shape[3]

    def batches(self, indices: Tensor, size: int) -> Iterator[Tensor]:
        return (self.images[rows] for rows in indices.split(size))


def half_mask(task: Task) -> Tensor:
    mask = full_mask(task)
    mask[:, ::2] = False
    return mask


def assert_equal_states(first: State, second: State) -> None:
    assert first.history == second.history and first.engine == second.engine
    pairs = [(first.weights, second.weights)]
    for ours, theirs in ((first.buffers, second.buffers), (first.optimizer, second.optimizer)):
        assert ours.keys() == theirs.keys()
        pairs += [(ours[name], theirs[name]) for name in ours]
    assert all(torch.equal(*pair) for pair in pairs)


def compare_with_interrupted(
        task: Task, *, start: State | None = None, mask: Tensor | None = None,
        parametrization: Parametrization | None = None, interrupts: tuple[int, ...] = (1, 4, 5, 7, 12),
) -> None:
    """Assert that a training interrupted at these iterations, with a stop at each second iteration, has the same bits.
    """

    start = start or initial_state(task)
    mask = full_mask(task) if mask is None else mask

    def run(memory: Memory | None) -> State:
        return train(replace(task, checkpoints=memory), start, until=task.steps, trainable=mask,
                     parametrization=parametrization)
    expected, saved = run(None), None
    for interrupt in interrupts:
        memory = Memory(2, interrupt, saved)
        with pytest.raises(Interruption):
            run(memory)
        saved = memory.saved
    assert saved is not None and saved.state.step >= interrupts[-1]
    assert_equal_states(run(Memory(2, None, saved)), expected)


OPTIMIZERS: list[dict[str, Any]] = [ADAM, SGD, {'name': 'sgd', 'learning_rate': 0.1},
                                    {'name': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 0.1}]


@pytest.mark.parametrize('optimizer', OPTIMIZERS, ids=str)
@pytest.mark.parametrize('every', ['1 epochs', '4 iterations'])
def test_an_interrupted_training_continues_byte_for_byte_with_every_optimizer(optimizer, every):
    task = make_task(optimizer=optimizer, measure_every=every, warmup='4 iterations')
    start = initial_state(task)
    start.weights[~half_mask(task)] = 0.
    compare_with_interrupted(task, start=start, mask=half_mask(task))


def test_an_interrupted_training_with_batch_norm_and_augmentation_continues_byte_for_byte():
    task = make_task('resnet20', shape=(3, 8, 8), data={'flip': True, 'crop': 1}, length='2 epochs', optimizer=SGD)
    compare_with_interrupted(task, interrupts=(3, 5, 8))


def test_an_interrupted_training_with_dropout_continues_byte_for_byte():
    compare_with_interrupted(dropout_task(), interrupts=(3, 8))


def test_an_interrupted_training_on_streamed_images_continues_byte_for_byte():
    task = make_task(data={'flip': True, 'crop': 1})
    images = task.data.train.images
    assert isinstance(images, Tensor)
    split = task.data.train._replace(images=Streamed(images))
    compare_with_interrupted(replace(task, data=replace(task.data, train=split, test=split)))


def test_interrupted_replicates_continue_together_byte_for_byte():
    compare_with_interrupted(make_task(seeds=(3, 5)))


@pytest.mark.parametrize('model', ['lenet-300-100', 'lenet-5'])
def test_an_interrupted_training_by_the_sparse_engine_continues_byte_for_byte(model):
    task = make_task(model, shape=(1, 28, 28), engine=SparseCpu(CPU.device, always=True))
    start = initial_state(task)
    mask = torch.rand(start.weights.shape, generator=torch.Generator().manual_seed(0)) < 0.1
    mask[:, task.network.layout.prunable_count:] = True
    start.weights[~mask] = 0.
    compare_with_interrupted(task, start=start, mask=mask)


@pytest.mark.parametrize(('model', 'seeds'), [('lenet-300-100', (0,)), ('lenet-300-100', (0, 1)), ('conv-2', (0, 1))])
def test_an_interrupted_training_by_the_cuda_engine_continues_byte_for_byte(model, seeds):
    """On the CPU the engine runs its steps without a capture."""

    task = make_task(model, shape=(3, 8, 8), seeds=seeds, engine=CudaGraph(CPU.device), data={'flip': True, 'crop': 1})
    compare_with_interrupted(task, mask=half_mask(task), interrupts=(1, 5, 7))


@pytest.mark.parametrize('make', [
    lambda weights, _task: Rounded(weights, Penalty(1e-4)),
    lambda weights, task: Top(weights, Penalty(0.), [(0, task.network.layout.prunable_count)], [100]),
    lambda weights, task: Bernoulli(weights, task.network.layout, task.seeds, True)], ids=['rounded', 'top', 'sampled'])
def test_an_interrupted_training_of_scores_continues_byte_for_byte(make):
    task = make_task(seeds=(0, 1))
    start = initial_state(task)
    scores = torch.rand(2, task.network.layout.prunable_count, generator=torch.Generator().manual_seed(1))
    compare_with_interrupted(task, start=replace(start, weights=scores), mask=torch.ones_like(scores, dtype=torch.bool),
                             parametrization=make(start.weights, task))


def test_a_training_that_was_interrupted_before_its_last_measurement_only_measures():
    task = make_task()
    expected = train(task, initial_state(task), until=15, trainable=full_mask(task))
    memory = Memory(2, 15)
    with pytest.raises(Interruption):
        train(replace(task, checkpoints=memory), initial_state(task), until=15, trainable=full_mask(task))
    assert memory.saved is not None and len(memory.saved.state.history) == len(expected.history) - 1
    steps: list[int] = []
    resumed = replace(task, checkpoints=Memory(2, None, memory.saved),
                      on_step=lambda step, measured: steps.append(step) if measured else None)
    assert_equal_states(train(resumed, initial_state(task), until=15, trainable=full_mask(task)), expected)
    assert steps == [15]
