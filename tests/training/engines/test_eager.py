"""The eager engine against a training loop with torch.optim, and what every engine promises about masks and stops."""
import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lth.datasets import sampling
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import ADAM, CPU, SGD, full_mask, initial_state, make_task

NESTEROV = SGD | {'nesterov': True}
DECAYED = ADAM | {'weight_decay': 0.01}
ADAMW = DECAYED | {'name': 'adamw'}
OPTIMIZERS = pytest.mark.parametrize(
    'optimizer', [ADAM, DECAYED, ADAMW, SGD, NESTEROV], ids=['adam', 'adam+wd', 'adamw', 'sgd', 'nesterov'])
AUGMENTED = {'crop': 2, 'flip': True, 'normalization': 'standardize'}


def train(task: Task, state: State, until: int, trainable: torch.Tensor | None = None) -> State:
    """The state after the engine's steps, without measurements."""

    mask = full_mask(task) if trainable is None else trainable
    return list(task.engine.run(task, state, trainable=mask, stops=[until]))[-1].state


def train_with_torch_optim(task: Task, steps: int) -> dict[str, torch.Tensor]:
    """The state dict after the same training, written as an ordinary loop: a module and torch.optim in float64."""

    module = copy.deepcopy(task.network.module).double().train()
    module.load_state_dict(module.state_dict() | task.network.layout.unpack(task.network.initial_weights(0).double()))
    optimizer = torch_optimizer(module, task.training.optimizer.model_dump())
    training, settings = task.splits[0][0], task.data_settings
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    for step in range(steps):
        epoch, position = divmod(step, task.steps_per_epoch)
        batch, count = slice(position * 8, position * 8 + 8), task.steps_per_epoch * 8
        rows = sampling.epoch_order(training, 0, epoch)[batch]
        boxes = sampling.crop_boxes(count, settings, 0, epoch, margin=2 * settings.crop)[batch]
        flips = sampling.flips(count, settings, 0, epoch)[batch]
        images = sampling.augment(
            task.data.train.images[rows], boxes, flips, padding=settings.crop, size=task.network.shape[1:])
        logits = module(sampling.normalize(images, settings, mean, std).double())
        optimizer.zero_grad()
        F.cross_entropy(logits, task.data.train.labels[rows]).backward()
        optimizer.step()
    return dict(module.state_dict())


def torch_optimizer(module: torch.nn.Module, settings: dict) -> torch.optim.Optimizer:
    rate, decay = settings['learning_rate'], settings['weight_decay']
    if settings['name'] == 'sgd':
        return torch.optim.SGD(module.parameters(), rate, settings['momentum'], weight_decay=decay,
                               nesterov=settings['nesterov'], foreach=False)
    kind = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}[settings['name']]
    return kind(module.parameters(), rate, weight_decay=decay, foreach=False)


@pytest.mark.parametrize(('model', 'shape', 'data'), [
    ('lenet-300-100', (1, 8, 8), {}), ('conv-2', (3, 8, 8), AUGMENTED), ('resnet20', (3, 8, 8), AUGMENTED)])
@OPTIMIZERS
def test_the_eager_engine_equals_torch_optim_in_float64(model, shape, data, optimizer):
    task = make_task(model, shape=shape, data=data, optimizer=optimizer)
    state = train(task, initial_state(task, torch.float64), 7)
    trained = task.network.layout.unpack(state.weights[0]) | {name: rows[0] for name, rows in state.buffers.items()}
    for name, expected in train_with_torch_optim(task, 7).items():
        assert torch.allclose(trained[name].double(), expected.double(), rtol=1e-9, atol=1e-11), name


@pytest.mark.parametrize(('model', 'shape', 'tolerance'), [
    ('lenet-300-100', (1, 8, 8), 1e-12), ('conv-2', (3, 8, 8), 1e-12), ('resnet20', (3, 8, 8), 1e-9)])
def test_replicates_trained_together_equal_each_trained_alone(model, shape, tolerance):
    together = make_task(model, shape=shape, seeds=(3, 5), data=AUGMENTED, optimizer=SGD)
    state = train(together, initial_state(together, torch.float64), 6)
    for row, seed in enumerate((3, 5)):
        alone = make_task(model, shape=shape, seeds=(seed,), data=AUGMENTED, optimizer=SGD)
        expected = train(alone, initial_state(alone, torch.float64), 6)
        assert torch.allclose(state.weights[row], expected.weights[0], atol=tolerance)
        for name, buffer in expected.buffers.items():
            assert torch.allclose(state.buffers[name][row].double(), buffer[0].double(), atol=tolerance)


@OPTIMIZERS
@pytest.mark.parametrize('value', [0., 0.37])
def test_momentum_and_weight_decay_never_change_a_weight_outside_the_mask(optimizer, value):
    task = make_task('resnet20', shape=(3, 8, 8), optimizer=optimizer)
    start, trainable = initial_state(task), full_mask(task)
    trainable[:, 1:task.network.layout.prunable_count:3] = False
    start = replace(start, weights=torch.where(trainable, start.weights, value))
    for segment in CPU.run(task, start, trainable=trainable, stops=[1, 2, 5, 11]):
        assert torch.equal(segment.state.weights[~trainable], start.weights[~trainable])
    assert not torch.equal(segment.state.weights[trainable], start.weights[trainable])


def test_more_stops_do_not_change_the_training():
    task = make_task(optimizer=SGD, data=AUGMENTED)
    start = initial_state(task)
    often = list(CPU.run(task, start, trainable=full_mask(task), stops=[1, 4, 5, 9, 13]))
    once = list(CPU.run(task, start, trainable=full_mask(task), stops=[13]))
    assert torch.equal(often[-1].state.weights, once[-1].state.weights)
    assert torch.equal(torch.cat([segment.losses for segment in often], 1), once[0].losses)
    assert torch.equal(torch.cat([segment.correct for segment in often], 1), once[0].correct)


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=['adam', 'sgd'])
def test_training_resumed_from_a_state_equals_training_without_a_break(optimizer):
    task = make_task('resnet20', shape=(3, 8, 8), optimizer=optimizer, data=AUGMENTED)
    half_way = train(task, initial_state(task), 7)
    weights = half_way.weights.clone()
    vectors = {name: tensor.clone() for name, tensor in half_way.optimizer.items()}
    assert torch.equal(train(task, half_way, 12).weights, train(task, initial_state(task), 12).weights)
    assert torch.equal(half_way.weights, weights)
    assert all(torch.equal(half_way.optimizer[name], tensor) for name, tensor in vectors.items())


def test_the_same_seed_repeats_the_same_bits_and_another_seed_differs():
    task, reseeded = make_task(data=AUGMENTED), make_task(data=AUGMENTED, seeds=(1,))
    assert torch.equal(train(task, initial_state(task), 9).weights, train(task, initial_state(task), 9).weights)
    assert not torch.equal(train(task, initial_state(task), 9).weights, train(reseeded, initial_state(task), 9).weights)


def test_batch_norm_statistics_train_and_those_of_the_given_state_do_not_change():
    task = make_task('resnet20', shape=(3, 8, 8))
    start = initial_state(task)
    state = train(task, start, 2)
    assert state.buffers['stem.1.num_batches_tracked'].item() == 2
    assert start.buffers['stem.1.num_batches_tracked'].item() == 0
    assert start.buffers['stem.1.running_mean'].abs().sum() == 0 < state.buffers['stem.1.running_mean'].abs().sum()


def test_the_state_records_its_engine_and_iteration():
    task = make_task()
    state = train(task, initial_state(task), 3)
    assert (state.engine, state.step) == ('eager', 3)
