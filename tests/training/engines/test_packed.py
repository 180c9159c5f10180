"""Packed weights against the plain engine, which steps them all."""
from dataclasses import replace

import pytest
import torch

from lth.training.engines.cuda.engine import CapturedStep
from lth.training.engines.cuda.packed import make_packing
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

DECAYED = ADAM | {'weight_decay': 0.01}
OPTIMIZERS = {'adam': ADAM, 'adam+wd': DECAYED, 'adamw': DECAYED | {'name': 'adamw'}, 'sgd': SGD,
              'nesterov': SGD | {'nesterov': True}}


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
@pytest.mark.parametrize('value', [0., 0.02])
def test_packed_survivors_train_as_they_do_among_the_pruned(optimizer, value):
    task = make_task(seeds=(0, 1, 2), optimizer=OPTIMIZERS[optimizer])
    start, trainable = initial_state(task, torch.float64), full_mask(task)
    trainable[:, 1:task.network.layout.prunable_count:3] = False
    trainable[1:] = trainable[1:].roll(1, 1)
    start = replace(start, weights=torch.where(trainable, start.weights, value))
    packing = make_packing(start, trainable, min_pruned=1)
    replay = CapturedStep(task, start, packing=packing)
    advances = list(replay.run(start, trainable=trainable, stops=[4, 9]))
    expected = list(CPU.run(task, start, trainable=trainable, stops=[4, 9]))
    for mine, theirs in zip(advances, expected, strict=True):
        assert torch.allclose(mine.state.weights, theirs.state.weights, atol=1e-6)
        assert torch.equal(mine.state.weights[~trainable], start.weights[~trainable])
        assert torch.allclose(mine.losses, theirs.losses, atol=1e-6) and torch.equal(mine.correct, theirs.correct)
        for name in mine.state.optimizer.keys() - {'step'}:
            here, there = (advance.state.optimizer[name][trainable] for advance in (mine, theirs))
            assert torch.allclose(here, there, atol=1e-5)
    # The optimizer has numbers for what trains only, and another engine can go on from them.
    vectors = [tensor for tensor in replay._training_step.optimizer.state.values() if tensor.dim() == 2]
    assert all(tensor.shape == (3, int(trainable[0].sum())) for tensor in vectors)
    went_on = list(CPU.run(task, advances[0].state, trainable=trainable, stops=[9]))[-1].state
    assert torch.allclose(went_on.weights, expected[-1].state.weights, atol=1e-6)


def test_survivors_are_packed_where_many_are_pruned_and_each_replicate_keeps_as_many():
    task = make_task(seeds=(0, 1))
    start, trainable = initial_state(task), full_mask(task)
    trainable[:, :100] = False
    assert make_packing(start, trainable) is None and make_packing(start, trainable, min_pruned=200) is not None
    trainable[0, 100] = False
    assert make_packing(start, trainable, min_pruned=200) is None
