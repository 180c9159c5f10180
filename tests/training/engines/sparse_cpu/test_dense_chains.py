"""Chains of dense layers in the sparse engine, compared with the eager engine in double precision."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from lth.training.engines.chains import supported_chain
from lth.training.engines.sparse_cpu import dense_layout
from lth.training.engines.sparse_cpu.prepared import prepare_chain
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task, mlp_task
from tests.training.engines.sparse_cpu.sparse_tasks import (
    OPTIMIZERS, SPARSE, max_error, random_ticket, start_of, train_to)


@pytest.mark.parametrize('density', [1., 0.5, 0.1, 0.01])
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_training_equals_the_eager_engine_for_every_optimizer_and_density(optimizer, density):
    assert max_error(make_task(optimizer=OPTIMIZERS[optimizer], length='40 epochs'), density) < 1e-6


@pytest.mark.parametrize('widths', [(), (1,), (17,), (30, 1, 5), (12, 11, 10, 9, 8)], ids=str)
@pytest.mark.parametrize('density', [1., 0.3])
def test_training_equals_the_eager_engine_for_every_depth_and_width(widths, density):
    assert max_error(mlp_task(make_task(optimizer=SGD, length='40 epochs'), *widths), density) < 1e-6


@pytest.mark.parametrize('density', [1., 0.3, 0.02])
def test_layers_that_are_cut_into_tiles_equal_the_eager_engine(monkeypatch, density):
    monkeypatch.setattr(dense_layout, '_TILE_ROWS', 3)
    monkeypatch.setattr(dense_layout, '_TILE_WEIGHTS', 1)
    task = mlp_task(make_task(optimizer=SGD, length='40 epochs'), 17, 12)
    _, mask = random_ticket(task, density)
    slices = prepare_chain(supported_chain(task.network), mask[0], mask[0].float()).structure.matrix.slices
    assert len(slices.units) > len(np.unique(slices.units)) or density == 0.02
    assert max_error(task, density) < 1e-6


@pytest.mark.parametrize('batch', [1, 2, 63, 64, 65, 128, 200])
def test_training_equals_the_eager_engine_for_every_batch_size(batch):
    assert max_error(make_task(optimizer=SGD, images=1000, batch_size=batch, length='40 epochs'), 0.2) < 1e-6


@pytest.mark.parametrize(('shape', 'data'), [
    ((1, 3, 3), {}), ((1, 7, 7), {}), ((1, 4, 5), {'normalization': 'standardize'}),
    ((3, 9, 9), {'normalization': 'standardize'})])
def test_training_equals_the_eager_engine_for_scaled_and_standardized_images_of_any_size(shape, data):
    assert max_error(make_task(shape=shape, data=data, optimizer=SGD), 0.5, 12) < 1e-6


def test_training_equals_the_eager_engine_without_biases():
    assert max_error(mlp_task(make_task(optimizer=SGD), 20, 10, bias=False), 0.3, 12) < 1e-6


def test_learning_rate_schedule_and_warmup_are_followed():
    schedule = {'name': 'multistep', 'milestones': ['4 iterations', '8 iterations'], 'factor': 0.5}
    assert max_error(make_task(optimizer=SGD, schedule=schedule, warmup='3 iterations'), 0.3, 12) < 1e-6


def test_unit_without_incoming_weights_trains_its_bias_and_unit_without_outgoing_weights_does_not_train():
    task = mlp_task(make_task(optimizer=SGD | {'weight_decay': 0.}), 6)
    state, mask = start_of(task), full_mask(task)
    masks, before = (task.network.layout.unpack(vector) for vector in (mask, state.weights))
    masks['1.weight'][0, 0], masks['3.weight'][0, :, 1] = False, False
    before['1.bias'][:] = 0.1
    state = replace(state, weights=torch.where(mask, state.weights, 0.))
    trained = train_to(task, state, mask, 8)
    after = task.network.layout.unpack(trained.weights)
    assert after['1.bias'][0, 0] != 0.1 and after['1.bias'][0, 1] == before['1.bias'][0, 1]
    assert torch.equal(after['1.weight'][0, 1], before['1.weight'][0, 1])
    assert torch.allclose(trained.weights, train_to(task, state, mask, 8, engine=CPU).weights, atol=1e-6)


def test_first_pruning_prunes_the_same_weights_as_after_eager_training():
    masks = []
    for engine in (CPU, SPARSE):
        task = make_task(engine=engine, optimizer=ADAM)
        trained = train_to(task, initial_state(task), full_mask(task), 15, engine=engine).weights[0]
        masks.append(trained.abs() > trained.abs().quantile(0.2))
    assert torch.equal(*masks)
