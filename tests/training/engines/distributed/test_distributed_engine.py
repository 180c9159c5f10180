"""The engine of several ranks: equal to one process, or to a loop that normalizes each part of a batch apart."""
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from lth import rng
from lth.training.engines.distributed.engine import Distributed
from lth.training.loop import train
from lth.training.state import State
from tests.conftest import SGD, full_mask, initial_state, make_task
from tests.ranks import on_ranks

CPU = torch.device('cpu')
UNTIL = 6
SLOW_SGD = SGD | {'learning_rate': 0.01}


def trained_on_ranks(ranks, task, sync_batch_norm, trainable=None):
    engine = Distributed(CPU, ranks, sync_batch_norm=sync_batch_norm)
    task = replace(task, engine=engine)
    mask = full_mask(task) if trainable is None else trainable
    return train(task, initial_state(task, torch.float64), until=UNTIL, trainable=mask)


def trained_alone(task, trainable=None):
    mask = full_mask(task) if trainable is None else trainable
    return train(task, initial_state(task, torch.float64), until=UNTIL, trainable=mask)


def assert_equal_states(first: State, second: State) -> None:
    for ours, theirs in ((first.weights, second.weights), (first.buffers, second.buffers),
                         (first.optimizer, second.optimizer)):
        assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
    for one, other in zip(first.history, second.history, strict=True):
        assert_close(numbers(one), numbers(other), rtol=1e-7, atol=0)


def numbers(measurement):
    return torch.tensor([*sum((metrics for metrics in measurement[1:] if metrics), ())], dtype=torch.float64)


def test_several_ranks_train_as_one_process_does_without_batch_norm(tmp_path):
    task = make_task('conv-2', batch_size=7, measure_every='2 iterations', data={'crop': 1, 'flip': True})
    trainable = torch.rand(1, task.network.layout.size, generator=torch.Generator().manual_seed(1)) < 0.5
    alone = trained_alone(task, trainable)  # first, so that the forked ranks need not import what it imports
    states = on_ranks(trained_on_ranks, tmp_path, task, False, trainable, size=3)
    assert torch.equal(states[0].weights, states[-1].weights)
    assert_equal_states(states[0], alone)
    start = initial_state(task, torch.float64).weights
    assert torch.equal(states[0].weights[~trainable], start[~trainable])


def test_synchronized_batch_norm_equals_that_of_one_process(tmp_path):
    task = make_task('resnet20', batch_size=7, optimizer=SLOW_SGD, shape=(3, 8, 8))
    alone = trained_alone(task)
    states = on_ranks(trained_on_ranks, tmp_path, task, True)
    assert torch.equal(states[0].weights, states[1].weights)
    assert_equal_states(states[0], alone)


def test_batch_norm_of_each_rank_equals_a_loop_over_the_parts_of_each_batch(tmp_path):
    task = make_task('resnet20', batch_size=7, optimizer=SLOW_SGD, shape=(3, 8, 8))
    weights, buffers = train_in_parts(task, [slice(0, 3), slice(3, 7)])
    states = on_ranks(trained_on_ranks, tmp_path, task, False)
    assert torch.equal(states[0].weights, states[1].weights)
    assert_close(states[0].weights[0], weights)
    for name, buffer in buffers.items():
        assert_close(states[0].buffers[name][0], buffer)
        assert torch.equal(states[0].buffers[name], states[1].buffers[name])
    assert not torch.allclose(weights, trained_alone(task).weights[0], atol=1e-3)


def train_in_parts(task, parts):
    """SGD with torch's own modules: each part of a batch is normalized apart; gradients and running statistics are the
    means over parts, weighted by their numbers of images.
    """

    state = initial_state(task, torch.float64)
    module = task.network.bind(state.weights[0].clone(), {
        name: buffer[0] for name, buffer in state.buffers.items()}).train()
    parameters = list(module.parameters())
    optimizer = torch.optim.SGD(parameters, SLOW_SGD['learning_rate'], SLOW_SGD['momentum'],
                                weight_decay=SLOW_SGD['weight_decay'])
    trained, _ = task.splits[0]
    for step in range(UNTIL):
        epoch, position = divmod(step, task.steps_per_epoch)
        order = trained[torch.randperm(len(trained), generator=rng.generator(0, 'order', epoch))]
        rows = order[position * task.training.batch_size:][:task.training.batch_size]
        before = {name: buffer.clone() for name, buffer in module.named_buffers()}
        sums = {name: torch.zeros_like(buffer, dtype=torch.float64) for name, buffer in before.items()}
        optimizer.zero_grad()
        for part in parts:
            for name, buffer in module.named_buffers():
                buffer.copy_(before[name])
            images, labels = (task.data.train.images[rows[part]] / 255).double(), task.data.train.labels[rows[part]]
            share = len(labels) / len(rows)
            (share * F.cross_entropy(module(images), labels)).backward()
            for name, buffer in module.named_buffers():
                sums[name] += share * buffer
        for name, buffer in module.named_buffers():
            buffer.copy_(sums[name])
        optimizer.step()
    values = dict(module.named_parameters())
    return task.network.layout.pack({name: value.detach() for name, value in values.items()}), dict(
        module.named_buffers())
