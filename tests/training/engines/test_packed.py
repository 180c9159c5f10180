"""Packed weights against the eager engine, which steps all weights."""
from dataclasses import replace

import pytest
import torch

from lth.training.engines.cuda.captured_step import CapturedStep
from lth.training.engines.packed import Packing, make_packing
from lth.training.state import State
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

DECAYED = ADAM | {'weight_decay': 0.01}
OPTIMIZERS = {'adam': ADAM, 'adam+wd': DECAYED, 'adamw': DECAYED | {'name': 'adamw'}, 'sgd': SGD,
              'nesterov': SGD | {'nesterov': True}}


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
@pytest.mark.parametrize('value', [0., 0.02])
def test_packed_weights_train_as_they_do_among_the_pruned_weights(optimizer, value):
    task = make_task(seeds=(0, 1, 2), optimizer=OPTIMIZERS[optimizer])
    start, trainable = initial_state(task, torch.float64), full_mask(task)
    trainable[:, 1:task.network.layout.prunable_count:3] = False
    trainable[1:] = trainable[1:].roll(1, 1)
    start = replace(start, weights=torch.where(trainable, start.weights, value))
    captured = CapturedStep(task, start, packing=make_packing(start, trainable, min_pruned=1))
    segments = list(captured.run(start, trainable=trainable, stops=[4, 9]))
    expected = list(CPU.run(task, start, trainable=trainable, stops=[4, 9]))
    for segment, eager in zip(segments, expected, strict=True):
        assert torch.allclose(segment.state.weights, eager.state.weights, atol=1e-6)
        assert torch.equal(segment.state.weights[~trainable], start.weights[~trainable])
        assert torch.allclose(segment.losses, eager.losses, atol=1e-6) and torch.equal(segment.correct, eager.correct)
        for name in segment.state.optimizer.keys() - {'step'}:
            vectors = [result.state.optimizer[name][trainable] for result in (segment, eager)]
            assert torch.allclose(*vectors, atol=1e-5)
    # The optimizer has a state for the trainable weights only, and another engine can resume from the unpacked state.
    vectors = [tensor for tensor in captured._training_step.optimizer.state.values() if tensor.dim() == 2]
    assert all(tensor.shape == (3, int(trainable[0].sum())) for tensor in vectors)
    (resumed,) = CPU.run(task, segments[0].state, trainable=trainable, stops=[9])
    assert torch.allclose(resumed.state.weights, expected[-1].state.weights, atol=1e-6)


def test_a_state_is_packed_and_unpacked_by_positions():
    packing = Packing(torch.tensor([[0, 3]]), torch.tensor([[5., 0., 9., 7.]]))
    state = State(torch.tensor([[6., 0., 9., 8.]]), {}, 4, {'step': torch.ones(1), 'exp_avg': torch.arange(4.)[None]})
    packed = packing.pack_state(state)
    assert packed.weights.tolist() == [[6., 8.]] and packed.optimizer['exp_avg'].tolist() == [[0., 3.]]
    unpacked = packing.unpack_state(replace(packed, weights=torch.tensor([[1., 2.]])))
    assert unpacked.weights.tolist() == [[1., 0., 9., 2.]] and unpacked.step == 4
    assert unpacked.optimizer['exp_avg'].tolist() == [[0., 0., 0., 3.]] and unpacked.optimizer['step'].tolist() == [1.]
    assert packing.held.tolist() == [[5., 0., 9., 7.]]


def test_weights_are_packed_if_many_are_pruned_and_each_replicate_keeps_the_same_number():
    task = make_task(seeds=(0, 1))
    start, trainable = initial_state(task), full_mask(task)
    trainable[:, :100] = False
    assert make_packing(start, trainable) is None and make_packing(start, trainable, min_pruned=200) is not None
    trainable[0, 100] = False
    assert make_packing(start, trainable, min_pruned=200) is None
