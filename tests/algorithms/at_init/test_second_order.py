"""Second-order scores at initialization against a Hessian and gradients that are computed in other ways."""
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth.algorithms.at_init import base, fisher, hessian_diagonal, hts, hutchinson, prospr, snip
from lth.datasets import sampling
from lth.errors import LthError
from lth.pruning.tickets import dense_ticket
from lth.training.state import State
from lth.training.task import Task
from tests.algorithms.at_init.test_at_init import batch_of, gradient_by_hand, mask_of, settings, tiny_tasks, weights_of
from tests.conftest import make_task


@pytest.fixture(name='tiny')
def _tiny(tmp_path, monkeypatch) -> Any:
    return tiny_tasks(tmp_path, monkeypatch)


def samples_by_hand(task: Task, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """The first training images of each class in the order of epoch 0: (B, pixels), (B,)."""

    order = sampling.epoch_order(task.splits[0][0], task.seeds[0], 0).tolist()
    labels = task.data.train.labels.tolist()
    rows = [row for label in range(4) for row in [row for row in order if labels[row] == label][:per_class]]
    images = task.data.train.images[rows].numpy().astype(np.float32) / np.float32(255)
    return images.reshape(len(rows), -1).astype(np.float64), task.data.train.labels[rows].numpy()


def hessian_by_hand(vector: np.ndarray, batch: tuple[np.ndarray, np.ndarray], temperature: float) -> np.ndarray:
    """The Hessian with respect to the 50 weights, by central differences of the gradient derived by hand."""

    columns = []
    for weight in range(50):
        step = np.zeros_like(vector)
        step[weight] = 1e-5
        slopes = [gradient_by_hand(vector + sign * step, [batch], temperature) for sign in (1, -1)]
        columns.append((slopes[0] - slopes[1]) / 2e-5)
    return np.stack(columns, 1)


@pytest.mark.parametrize('temperature', [1., 200.])
def test_hutchinson_and_hts_scores_equal_those_of_a_hessian_by_finite_differences(tiny, temperature):
    task, weights = tiny('tanh'), weights_of(tiny('tanh'))
    vector, batch = weights.numpy(), samples_by_hand(task, 3)
    hessian, gradient = hessian_by_hand(vector, batch, temperature), gradient_by_hand(vector, [batch], temperature)
    draws = [hessian_diagonal.draw_signs(0, draw, weights[:50]).numpy() for draw in range(4)]
    diagonal = np.mean([signs * (hessian @ signs) for signs in draws], 0)
    exact = settings('hts', draws=4, temperature=temperature, samples_per_class=3)
    second = hutchinson.scores(task, weights, {}, exact).numpy()
    both = hts.scores(task, weights, {}, exact).numpy()
    expected = vector[:50] ** 2 * diagonal / 2
    assert np.allclose(second, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
    total = np.abs(vector[:50] * gradient + expected)
    assert np.allclose(both, total, rtol=1e-5, atol=1e-7 * total.max())
    assert (expected < 0).any() and (both >= 0).all()


def test_the_mean_of_many_draws_approaches_the_diagonal_of_the_hessian(tiny):
    task, weights = tiny('tanh'), weights_of(tiny('tanh'))
    hessian = hessian_by_hand(weights.numpy(), samples_by_hand(task, 3), 1.)
    errors = []
    for draws in (10, 1000):
        terms = hessian_diagonal.taylor_terms(
            task, weights, {}, settings('hutchinson', draws=draws, temperature=1., samples_per_class=3))
        errors.append(np.linalg.norm(terms.diagonal.numpy() - np.diag(hessian)))
    # The standard deviation of a mean of n draws is that of one, √(2 Σ_{i≠j} H_ij²) for all weights together, over √n.
    spread = np.sqrt(np.sum((hessian - np.diag(np.diag(hessian))) ** 2))
    assert errors[1] < 3 * spread / np.sqrt(1000) < errors[0]


def test_signs_are_those_of_the_seed_and_the_draw():
    like = torch.zeros(1000)
    one, again, other, seed = (
        hessian_diagonal.draw_signs(*numbers, like) for numbers in ((0, 1), (0, 1), (0, 2), (5, 1)))
    assert torch.equal(one, again) and one.abs().eq(1).all() and abs(float(one.mean())) < 0.1
    assert not torch.equal(one, other) and not torch.equal(one, seed)


def test_fisher_scores_are_means_of_squared_gradients_of_single_images(tiny):
    task, weights = tiny('tanh'), weights_of(tiny('tanh'))
    images, labels = samples_by_hand(task, 3)
    squares = [gradient_by_hand(weights.numpy(), [(images[row:row + 1], labels[row:row + 1])], 1.) ** 2
               for row in range(12)]
    expected = weights.numpy()[:50] ** 2 * np.mean(squares, 0)
    assert np.allclose(fisher.scores(task, weights, {}, samples_per_class=3).numpy(), expected, rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize('name', ['hutchinson', 'hts'])
def test_scores_do_not_depend_on_the_batch_size(name):
    module = {'hutchinson': hutchinson, 'hts': hts}[name]
    task = make_task('resnet20', shape=(3, 8, 8))
    start = dense_ticket(task)
    weights = start.weights[0].double()
    buffers = {key: buffer[0].double() if buffer.is_floating_point() else buffer[0]
               for key, buffer in start.buffers.items()}
    other = replace(task, training=task.training.model_copy(update={'batch_size': 5}))
    one, two = (module.scores(each, weights, buffers, settings(name, draws=2)) for each in (task, other))
    assert torch.allclose(one, two, rtol=1e-9, atol=1e-12 * float(one.abs().max()))


# --- ProsPr ---

class _Tanh(nn.Module):
    """The tanh network of 6, 5, 4 units with its 50 weights and 9 biases in a vector."""

    def __init__(self, vector: torch.Tensor) -> None:
        super().__init__()
        self.vector = nn.Parameter(vector)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first, second = self.vector[:30].view(5, 6), self.vector[30:50].view(4, 5)
        return torch.tanh(images @ first.T + self.vector[50:55]) @ second.T + self.vector[55:]


def loss_after_training(task: Task, vector: torch.Tensor, *, steps: int, batches: int) -> float:
    """The loss after steps of torch's own SGD, without differentiating them."""

    net = _Tanh(vector.clone())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    for step in range(steps + 1):
        images, labels = map(torch.from_numpy, batch_of(task, step % batches))
        loss = F.cross_entropy(net(images), labels)
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


@pytest.mark.parametrize(('steps', 'batches'), [(3, 1), (3, 4), (1, 1)])
def test_prospr_scores_equal_finite_differences_of_the_factors(tiny, steps, batches):
    task, weights = tiny('tanh'), weights_of(tiny('tanh'))
    scores = prospr.scores(task, weights, {}, settings('prospr', steps=steps, batches=batches))
    expected = []
    for weight in range(50):
        losses = []
        for sign in (1, -1):
            vector = weights.clone()
            vector[weight] *= 1 + sign * 1e-5
            losses.append(loss_after_training(task, vector, steps=steps, batches=batches))
        expected.append(abs(losses[0] - losses[1]) / 2e-5)
    assert np.allclose(scores.numpy(), expected, rtol=1e-5, atol=1e-7 * max(expected))


def test_prospr_trains_on_other_batches_if_it_has_more(tiny):
    task, weights = tiny('tanh'), weights_of(tiny('tanh'))
    one, many = (prospr.scores(task, weights, {}, settings('prospr', batches=batches)) for batches in (1, 3))
    assert not torch.allclose(one, many, rtol=1e-3)
    with pytest.raises(LthError, match='batches: 4 are more than the 2 steps and the last loss use: give at most 3'):
        settings('prospr', batches=4)


# --- Statistics of BatchNorm ---

def test_warm_statistics_are_those_of_the_training_images_and_change_no_ticket():
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 1))
    start = dense_ticket(task)
    warm = base.with_statistics(task, start, 'warm')
    assert torch.equal(warm.weights, start.weights) and torch.equal(warm.mask, start.mask)
    first = next(name for name in start.buffers if name.endswith('running_mean'))
    assert not start.buffers[first].any() and warm.buffers[first].abs().sum(1).gt(0).all()
    expected = task.engine.reestimate_batch_norm(task, State(start.weights, start.buffers)).buffers
    assert torch.equal(warm.buffers[first], expected[first])
    assert base.with_statistics(task, start, 'initial') is start


@pytest.mark.parametrize(('name', 'other'), [
    *((name, 'initial') for name in ('snip', 'grasp', 'synflow', 'fisher', 'hutchinson', 'hts')), ('prospr', 'batch')])
def test_the_statistics_change_the_mask_of_a_network_with_batch_norm(name, other):
    task = make_task('resnet20', shape=(3, 8, 8))
    first = 'initial' if other == 'batch' else 'warm'
    mask, compared = (mask_of(task, name, statistics=which) for which in (first, other))
    assert not torch.equal(mask, compared) and mask.sum() == compared.sum()


def test_prospr_refuses_a_network_that_diverges_without_normalization():
    says = 'prospr scores of seed 0 are not finite.* a smaller algorithm.learning_rate or fewer'
    with pytest.raises(LthError, match=says):
        mask_of(make_task('resnet20', shape=(3, 8, 8)), 'prospr', statistics='warm')


def test_snip_with_running_statistics_scores_the_network_in_evaluation_mode():
    task = make_task('resnet20', shape=(3, 8, 8))
    start = base.with_statistics(task, dense_ticket(task), 'warm')
    buffers = {name: buffer[0] for name, buffer in start.buffers.items()}
    weights = start.weights[0].clone().requires_grad_()
    rows = sampling.epoch_order(task.splits[0][0], 0, 0)[:8]
    images = sampling.normalize(task.data.train.images[rows], task.data_settings, torch.zeros(1), torch.ones(1))
    loss = F.cross_entropy(task.network.logits(weights, buffers, images), task.data.train.labels[rows])
    (gradient,) = torch.autograd.grad(loss, weights)
    expected = (weights * gradient)[:task.network.layout.prunable_count].abs()
    scores = snip.scores(task, start.weights[0], buffers, statistics='warm')
    assert torch.allclose(scores, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


# --- Errors ---

@pytest.mark.parametrize('name', ['fisher', 'hutchinson', 'hts'])
def test_too_few_images_of_a_class_are_an_error_that_says_how_many_there_are(name):
    task = make_task(seeds=(3,))
    fewest = min(np.bincount(task.data.train.labels[task.splits[0][0]].numpy()))
    with pytest.raises(LthError, match='samples_per_class: 40 images of each class are needed, but class 0 of random '
                                       r'has \d+ training images \(seed 3\). Use at most \d+, or more of the data'):
        mask_of(task, name, samples_per_class=40)
    assert int(mask_of(task, name, samples_per_class=int(fewest)).sum()) == 9920


def test_a_class_without_training_images_is_an_error():
    task = make_task()
    labels = task.data.train.labels.clone()
    labels[labels == 2] = 1
    task = replace(task, data=replace(task.data, train=task.data.train._replace(labels=labels)))
    with pytest.raises(LthError, match='class 2 of random has 0 training images .* Use images of every class'):
        mask_of(task, 'fisher')
