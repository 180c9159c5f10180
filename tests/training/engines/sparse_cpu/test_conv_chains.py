"""Chains with convolutions in the sparse engine, compared with the eager engine in double precision."""
from dataclasses import replace

import pytest
import torch

from lth.training.engines.chains import supported_chain
from lth.training.engines.sparse_cpu.prepared import prepare_chain
from tests.conftest import CPU, SGD, full_mask, make_task
from tests.training.engines.sparse_cpu.sparse_tasks import (
    OPTIMIZERS, conv_task, in_float64, max_error, random_ticket, small_conv_2, start_of, train_to)


@pytest.mark.parametrize('density', [1., 0.5, 0.1])
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_training_equals_the_eager_engine_for_every_optimizer_and_density(optimizer, density):
    assert max_error(small_conv_2(optimizer=OPTIMIZERS[optimizer], length='40 epochs'), density) < 1e-6


@pytest.mark.parametrize('layers', [
    [(3, 5, 0, True), (4, 3, 0, True)], [(3, 3, 1, True), (4, 3, 1, True), (2, 3, 1, True)], [(2, 3, 1, False)],
    [(3, 3, 0, False), (3, 2, 1, True)], [(3, 1, 0, True), (3, 1, 0, False)], [(3, 5, 2, False), (3, 4, 1, True)],
    [(4, 3, 2, True), (1, 3, 1, False), (4, 3, 1, True)]], ids=str)
@pytest.mark.parametrize('shape', [(1, 13, 14), (3, 15, 13)], ids=str)
def test_training_equals_the_eager_engine_for_every_kernel_padding_and_depth_also_where_pooling_drops_an_edge(
        layers, shape):
    data = {'normalization': 'standardize' if shape[0] == 3 else 'scale'}
    assert max_error(conv_task(make_task(shape=shape, data=data, optimizer=SGD), *layers), 0.4, 12) < 1e-6


@pytest.mark.parametrize('batch', [1, 63, 65, 128])
def test_training_equals_the_eager_engine_for_every_batch_size(batch):
    assert max_error(small_conv_2(optimizer=SGD, images=200, batch_size=batch, length='40 epochs'), 0.3) < 1e-6


@pytest.mark.parametrize(('model', 'shape'), [('conv-4', (3, 8, 8)), ('lenet-5', (1, 16, 16))])
def test_training_equals_the_eager_engine_for_networks_of_the_model_registry(model, shape):
    assert max_error(make_task(model, shape=shape, optimizer=SGD | {'learning_rate': 0.02}), 0.05, 5) < 1e-6


def test_training_equals_the_eager_engine_without_biases():
    task = make_task(optimizer=SGD)
    assert max_error(conv_task(task, (4, 3, 1, True), (4, 3, 1, False), bias=False), 0.4, 12) < 1e-6


def test_max_pool_takes_the_first_of_equal_inputs_as_torch_does():
    """Weights of 0 make all inputs of the pool equal. Their gradient depends on which input is taken."""

    task = conv_task(make_task(optimizer=SGD), (2, 3, 1, True))
    state = start_of(task)
    named = task.network.layout.unpack(state.weights)
    named['0.weight'].zero_()
    named['0.bias'].fill_(1)
    expected = train_to(task, in_float64(state), full_mask(task), 1, engine=CPU).weights
    assert (train_to(task, state, full_mask(task), 1).weights - expected).abs().max() < 1e-7
    assert task.network.layout.unpack(expected)['0.weight'].abs().max() > 1e-3


def test_channel_without_incoming_weights_trains_its_bias_and_channel_without_outgoing_weights_does_not_train():
    task = small_conv_2(optimizer=SGD | {'weight_decay': 0.})
    state, mask = start_of(task), full_mask(task)
    masks = {name: part[0] for name, part in task.network.layout.unpack(mask).items()}
    masks['0.weight'][0], masks['2.weight'][:, 1] = False, False
    masks['6.weight'].view(6, 5, -1)[:, 2] = False
    task.network.layout.unpack(state.weights)['0.bias'].fill_(0.1)
    before = {name: weights[0].clone() for name, weights in task.network.layout.unpack(state.weights).items()}
    state = replace(state, weights=torch.where(mask, state.weights, 0.))
    trained = train_to(task, state, mask, 8).weights
    after = {name: weights[0] for name, weights in task.network.layout.unpack(trained).items()}
    assert after['0.bias'][0] != before['0.bias'][0] and after['0.bias'][1] == before['0.bias'][1]
    assert torch.equal(after['0.weight'][1], before['0.weight'][1])
    assert torch.equal(after['2.weight'][2, 0], before['2.weight'][2, 0])
    assert not torch.equal(after['2.weight'][1, 0], before['2.weight'][1, 0])
    assert (trained - train_to(task, in_float64(state), mask, 8, engine=CPU).weights).abs().max() < 1e-6


def test_network_without_kept_weights_trains_the_biases_of_its_output():
    assert max_error(small_conv_2(optimizer=SGD), 0., 8) < 1e-6


def test_workspace_of_conv_2_takes_less_than_70_mib():
    """Values and deltas of Conv-2's 128 channels, and an eighth of them again for its pool, for 64 images."""

    task = make_task('conv-2', shape=(3, 32, 32))
    nothing = torch.zeros(task.network.layout.size)
    memory = prepare_chain(supported_chain(task.network), nothing.bool(), nothing).workspace
    assert sum(part.nbytes for part in memory) < 70 * 2 ** 20
