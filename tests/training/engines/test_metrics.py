"""Loss and accuracy of states, and BatchNorm statistics estimated again."""
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lth.training.engines import metrics
from lth.training.state import State
from tests.conftest import CPU, full_mask, initial_state, make_task


def trained(task, steps=5):
    return list(CPU.run(task, initial_state(task), trainable=full_mask(task), stops=[steps]))[-1].state


def test_metrics_equal_those_of_one_forward_pass():
    task = make_task()
    state, indices = trained(task), task.splits[0][1]
    images, labels = task.data.train.images[indices] / 255, task.data.train.labels[indices]
    logits = task.network.logits(state.weights[0], {}, images)
    measured = CPU.evaluate(task, state, [indices])
    assert measured.accuracy[0] == (logits.argmax(1) == labels).float().mean().item()
    assert measured.loss[0] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


@pytest.mark.parametrize('model', ['lenet-300-100', 'conv-2'])
def test_metrics_do_not_depend_on_the_size_of_batches(monkeypatch, model):
    task = make_task(model)
    state = trained(task)
    expected = CPU.evaluate(task, state, None)
    monkeypatch.setattr(metrics, '_MAX_IMAGES', 7)
    measured = CPU.evaluate(task, state, None)
    assert measured.accuracy == expected.accuracy
    assert measured.loss == pytest.approx(expected.loss, rel=1e-6)


def test_large_images_are_measured_in_smaller_batches():
    small, large = make_task('conv-2', shape=(3, 32, 32)), make_task('conv-2', shape=(3, 64, 64))
    assert metrics.evaluation_batch_size(small.network) == 1000
    assert metrics.evaluation_batch_size(large.network) == 2 ** 23 // (3 * 64 * 64)


def test_measured_images_are_not_augmented():
    task, augmented = make_task(), make_task(data={'crop': 3, 'flip': True})
    state, indices = trained(task), [task.splits[0][1]]
    assert CPU.evaluate(augmented, state, indices) == CPU.evaluate(task, state, indices)
    assert CPU.evaluate(augmented, state, None) == CPU.evaluate(task, state, None)


def test_stacked_replicates_have_the_metrics_of_each_alone():
    task = make_task(seeds=(0, 1, 2))
    state, validation = initial_state(task), [indices for _, indices in task.splits]
    for indices in (validation, None):
        together = CPU.evaluate(task, state, indices)
        for row, seed in enumerate(task.seeds):
            alone = CPU.evaluate(replace(task, seeds=(seed,)), State(state.weights[row:row + 1], {}),
                                 indices and indices[row:row + 1])
            assert together.accuracy[row] == alone.accuracy[0]
            assert together.loss[row] == pytest.approx(alone.loss[0], rel=1e-6)


def test_measuring_changes_neither_weights_nor_batch_norm_statistics():
    task = make_task('resnet20', shape=(3, 8, 8))
    state = initial_state(task)
    weights, buffers = state.weights.clone(), {name: buffer.clone() for name, buffer in state.buffers.items()}
    CPU.evaluate(task, state, None)
    assert torch.equal(state.weights, weights)
    assert all(torch.equal(state.buffers[name], buffer) for name, buffer in buffers.items())


def test_batch_norm_statistics_are_estimated_again_as_means_over_all_batches():
    task = make_task('resnet20', shape=(3, 8, 8))
    state, (indices, _) = trained(task), task.splits[0]
    estimated = metrics.reestimate_batch_norm(task, state)
    convolution = task.network.bind(state.weights[0], {}).eval().stem[0]
    outputs = convolution(task.data.train.images[indices] / 255)
    assert torch.allclose(estimated.buffers['stem.1.running_mean'][0], outputs.mean((0, 2, 3)), atol=1e-5)
    assert not torch.allclose(state.buffers['stem.1.running_mean'][0], outputs.mean((0, 2, 3)), atol=1e-5)
    assert torch.equal(estimated.weights, state.weights)


def test_a_network_without_batch_norm_keeps_its_state():
    task = make_task()
    state = initial_state(task)
    assert metrics.reestimate_batch_norm(task, state) is state
