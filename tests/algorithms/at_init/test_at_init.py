"""Pruning at initialization: scores against values by hand, exact counts, planted tickets, seeds."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from lth.algorithms import ALGORITHMS
from lth.algorithms.at_init import grasp, snip, synflow
from lth.algorithms.at_init.loss_gradients import batch_losses
from lth.datasets import sampling
from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.recipes.schema import validate_section
from lth.training.state import State
from lth.training.task import Task
from tests import planted
from tests.conftest import CPU, SGD, full_mask, initial_state, make_task

# Positions of the planted paths in the vector of weights: (16, 64), then (4, 16).
PATHS = [64 * unit + 2 * unit for unit in range(4)] + [1024 + 16 * unit + unit for unit in range(4)]
SAMPLED = ['fisher', 'hutchinson', 'hts']
RANKED = ['snip', 'grasp', 'synflow', 'magnitude-at-init', *SAMPLED, 'prospr']
ALL = [*RANKED, 'random', 'smart-ratio']
TINY = '''
from torch import nn

def tanh(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, classes))

def relu(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, classes))

def normed(shape, classes):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.MaxPool2d(2),
        nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes, bias=False))

def dead(shape, classes):
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, classes))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net

def huge(shape, classes):
    net = tanh(shape, classes)
    nn.init.constant_(net[1].weight, 10.)
    nn.init.constant_(net[3].weight, 3e38)
    return net
'''


def settings(name: str, **over: Any) -> Any:
    few = {'synflow': {'iterations': 5}, 'prospr': {'steps': 2}, **dict.fromkeys(SAMPLED, {'samples_per_class': 3})}
    return validate_section(
        ALGORITHMS.find(name).settings, {'name': name, 'density': 0.2} | few.get(name, {}) | over, 'test')


def find_rounds(task: Task, name: str, past: Sequence[Round] = (), **over: Any) -> list[Round]:
    return list(ALGORITHMS.find(name).find(task, settings(name, **over), past))


def mask_of(task: Task, name: str, **over: Any) -> torch.Tensor:
    return find_rounds(task, name, **over)[0].ticket.mask


@pytest.fixture(name='tiny')
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return tiny_tasks(tmp_path, monkeypatch)


def tiny_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """A function that makes tasks on small networks of TINY, by the function's name."""

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny.py').write_text(TINY)

    def task(function: str, shape: tuple[int, int, int] = (1, 2, 3), seeds: tuple[int, ...] = (0,)) -> Task:
        name = f'tiny.py:{function}'
        base_task = make_task(shape=shape, seeds=seeds)
        return replace(base_task, network=Network.of(settings_class(name)(name=name), shape, 4))
    return task


# --- Scores against an independent computation ---

def weights_of(task: Task, seed: int = 5) -> torch.Tensor:
    """Random values for all parameters, biases included, in double precision: (N,)."""

    return torch.randn(task.network.layout.size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def batch_of(task: Task, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch of epoch 0 as numpy arrays: (B, inputs), (B,)."""

    rows = sampling.epoch_order(task.splits[0][0], task.seeds[0], 0)[8 * number:8 * number + 8]
    images = task.data.train.images[rows].numpy().astype(np.float32) / np.float32(255)
    return images.reshape(8, -1).astype(np.float64), task.data.train.labels[rows].numpy()


def gradient_by_hand(
        vector: np.ndarray, batches: list[tuple[np.ndarray, np.ndarray]], temperature: float) -> np.ndarray:
    """∂L/∂(W1, W2) of the tanh network of 6, 5, 4 units, by the chain rule written out: (N,) -> (P,)."""

    first, second = vector[:30].reshape(5, 6), vector[30:50].reshape(4, 5)
    total = np.zeros(50)
    for images, labels in batches:
        hidden = np.tanh(images @ first.T + vector[50:55])
        logits = (hidden @ second.T + vector[55:59]) / temperature
        share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        error = (share - np.eye(4)[labels]) / temperature / len(labels)
        before = (error @ second) * (1 - hidden ** 2)
        total += np.concatenate([(before.T @ images).ravel(), (error.T @ hidden).ravel()]) / len(batches)
    return total


@pytest.mark.parametrize('batches', [1, 3])
def test_snip_scores_equal_a_gradient_derived_by_hand(tiny, batches):
    task = tiny('tanh')
    weights = weights_of(task)
    expected = np.abs(weights.numpy()[:50] * gradient_by_hand(
        weights.numpy(), [batch_of(task, number) for number in range(batches)], 1.))
    scores = snip.scores(task, weights, {}, batches=batches)
    assert np.allclose(scores.numpy(), expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(('batches', 'temperature'), [(1, 1.), (1, 200.), (3, 1.)])
def test_grasp_scores_equal_finite_differences_of_a_gradient_derived_by_hand(tiny, batches, temperature):
    task = tiny('tanh')
    weights = weights_of(task)
    vector, images = weights.numpy(), [batch_of(task, number) for number in range(batches)]
    gradient = gradient_by_hand(vector, images, temperature)
    step = np.zeros_like(vector)
    step[:50] = gradient / np.linalg.norm(gradient) * 1e-5
    slopes = [gradient_by_hand(vector + sign * step, images, temperature) for sign in (1, -1)]
    product = (slopes[0] - slopes[1]) / 2e-5 * np.linalg.norm(gradient)
    scores = grasp.scores(task, weights, {}, batches=batches, temperature=temperature).numpy()
    assert np.allclose(scores, vector[:50] * product, rtol=1e-5, atol=1e-8 * np.abs(scores).max())


def test_removing_a_weight_with_a_high_grasp_score_reduces_the_gradient_norm(tiny):
    task = tiny('tanh')
    weights = weights_of(task)
    scores, images = grasp.scores(task, weights, {}, temperature=1.).numpy(), [batch_of(task, 0)]
    flow = [np.square(gradient_by_hand(weights.numpy(), images, 1.)).sum()]
    for weight in (scores.argmax(), scores.argmin()):
        less = weights.numpy().copy()
        less[weight] *= 0.99
        flow.append(np.square(gradient_by_hand(less, images, 1.)).sum())
    assert flow[1] < flow[0] < flow[2]


def flow_by_hand(vector: np.ndarray) -> np.ndarray:
    """SynFlow's scores of the ReLU network of 6, 5, 4 units, on absolute weights and biases: (N,) -> (P,)."""

    vector = np.abs(vector)
    first, second = vector[:30].reshape(5, 6), vector[30:50].reshape(4, 5)
    hidden = first.sum(1) + vector[50:55]
    return np.concatenate([(first * second.sum(0)[:, None]).ravel(), (second * hidden).ravel()])


def test_synflow_scores_equal_values_by_hand(tiny):
    task = tiny('relu')
    weights = weights_of(task)
    assert np.allclose(synflow.scores(task, weights, {}).numpy(), flow_by_hand(weights.numpy()), rtol=1e-12)


def test_synflow_removes_the_smallest_scores_iteratively(tiny):
    task = tiny('relu')
    exact = settings('synflow', density=0.3, iterations=7)
    vector = dense_ticket(task).weights[0].double().numpy().copy()
    alive = np.ones(50, dtype=bool)
    for count in [int(50 * 0.3 ** (number / 7)) for number in range(1, 7)] + [15]:
        vector[:50] *= alive
        scores = np.where(alive, flow_by_hand(vector), -1.)
        alive = np.isin(np.arange(50), np.argsort(scores)[-count:])
    assert mask_of(task, 'synflow', density=0.3, iterations=7)[0].tolist() == alive.tolist()
    assert exact.iteration_counts(50)[-1] == 15
    assert not np.array_equal(alive, mask_of(task, 'synflow', density=0.3, iterations=1)[0].numpy())


def test_synflow_keeps_the_published_counts_if_they_are_selected(tiny):
    task = tiny('relu')
    over = {'density': 0.31, 'iterations': 7, 'counts': 'published'}
    published = settings('synflow', **over)
    vector = dense_ticket(task).weights[0].double().numpy().copy()
    alive = np.ones(50, dtype=bool)
    for number in range(1, 8):
        vector[:50] *= alive
        # The published code removes all scores up to the j-th smallest of all, j = ⌊(1 − s^(k/n)) P⌋; removed ones have
        # a score of 0.
        scores = flow_by_hand(vector) * alive
        alive = scores > np.sort(scores)[int((1 - 0.31 ** (number / 7)) * 50) - 1]
    assert mask_of(task, 'synflow', **over)[0].tolist() == alive.tolist()
    assert published.kept_counts(task.network.layout, task.training, 1) == [alive.sum()] == [16]
    exact = settings('synflow', density=0.31, iterations=7)
    assert exact.kept_counts(task.network.layout, task.training, 1) == [15]
    assert np.subtract(published.iteration_counts(50), exact.iteration_counts(50)).tolist() == [1] * 7
    # ResNet-20's 268,336 weights at a compression of 10^1.5: 1 − 10^−0.015 of them are 9,109.97, 10^−1.5 are 8,485.5.
    resnet20 = settings('synflow', density=10 ** -1.5, iterations=100, counts='published').iteration_counts(268_336)
    assert (resnet20[0], resnet20[-1]) == (268_336 - 9_109, 8_486)


def test_synaptic_flow_is_conserved_from_layer_to_layer(tiny):
    task = tiny('normed', (1, 8, 8))
    buffers = task.network.initial_buffers()
    scores = synflow.scores(task, dense_ticket(task).weights[0], buffers)
    sums = [float(part.sum()) for part in task.network.layout.unpack(scores).values()]
    assert len(sums) == 3 and sums == pytest.approx([sums[0]] * 3, rel=1e-12)


def test_snip_and_grasp_scores_of_a_residual_network_equal_finite_differences():
    task = make_task('resnet20', shape=(3, 8, 8))
    layout, module = task.network.layout, task.network.module
    start = initial_state(task, torch.float64)
    weights, buffers = start.weights[0], {name: buffer[0] for name, buffer in start.buffers.items()}
    rows = sampling.epoch_order(task.splits[0][0], 0, 0)[:8]
    images = sampling.normalize(task.data.train.images[rows], task.data_settings, torch.zeros(1), torch.ones(1))

    def loss(vector: torch.Tensor) -> torch.Tensor:
        module.train()
        state = {name: buffer.clone() for name, buffer in buffers.items()}
        logits = functional_call(module, {**layout.unpack(vector), **state}, (images.double(),))
        module.eval()
        return F.cross_entropy(logits, task.data.train.labels[rows])

    def slope(vector: torch.Tensor) -> torch.Tensor:
        leaf = vector.clone().requires_grad_()
        gradient_of_all = torch.autograd.grad(loss(leaf), leaf)[0]
        return torch.where(torch.arange(layout.size) < layout.prunable_count, gradient_of_all, 0.)

    scores = snip.scores(task, weights, buffers)
    for weight in scores.topk(5).indices.tolist() + [0, 1000, layout.prunable_count - 1]:
        step = torch.zeros_like(weights)
        step[weight] = 1e-6 * weights[weight]
        assert float(scores[weight]) == pytest.approx(abs(float(loss(weights + step) - loss(weights - step))) / 2e-6,
                                                      rel=1e-3, abs=1e-8)
    gradient = slope(weights)
    step = 1e-7 * gradient / gradient.norm()
    product = (slope(weights + step) - slope(weights - step)) / 2e-7 * gradient.norm()
    expected = (weights * product)[:layout.prunable_count]
    hessian_scores = grasp.scores(task, weights, buffers, temperature=1.)
    assert (hessian_scores - expected).norm() < 1e-3 * expected.norm()


def test_scores_use_the_images_and_the_dropout_of_the_first_training_steps():
    task = make_task('conv-2', shape=(3, 8, 8), data={'crop': 2, 'flip': True}, optimizer=SGD, seeds=(3,))
    network = Network.of(settings_class('conv-2')(name='conv-2', dropout=0.5), (3, 8, 8), 4)
    task = replace(task, network=network)
    start = initial_state(task)
    _, loss_at = batch_losses(task, start.weights[0], {}, batches=2)
    nothing = torch.zeros_like(full_mask(task))
    advance = next(iter(CPU.run(task, State(start.weights, {}), trainable=nothing, stops=[2])))
    assert [loss_at(1).item(), loss_at(0).item(), loss_at(1).item()] == pytest.approx(
        advance.losses[0, [1, 0, 1]].tolist(), rel=1e-6)


# --- Counts, masks and what is saved ---

@pytest.mark.parametrize('name', RANKED + ['random'])
@pytest.mark.parametrize('density', [0.29, 0.05, 1.])
def test_exactly_the_requested_density_is_kept(name, density):
    task = make_task()
    expected = {0.29: 14_384, 0.05: 2_480, 1.: 49_600}[density]
    planned = settings(name, density=density).kept_counts(task.network.layout, task.training, 5)
    assert planned == [expected]
    assert int(mask_of(task, name, density=density).sum()) == expected


@pytest.mark.parametrize('name', RANKED)
@pytest.mark.parametrize('keep', ['largest', 'smallest'])
def test_a_network_whose_scores_all_tie_keeps_the_exact_count_selected_by_the_seed(tiny, name, keep):
    masks = mask_of(tiny('dead', seeds=(0, 1)), name, density=0.5, keep=keep)
    assert masks.sum(1).tolist() == [25, 25]
    assert not torch.equal(masks[0], masks[1])


def test_ties_among_many_equal_weights_keep_the_exact_count():
    task = make_task()
    task = replace(task, network=Network.of(
        settings_class('lenet-300-100')(name='lenet-300-100', initializer='unsigned-constant'), (1, 8, 8), 4))
    # Weights are √(2/64), √(2/300), √(2/100). 19,200 of the first and 400 of the last are kept; 30,000 tie for 5,200.
    kept = task.network.layout.unpack(mask_of(task, 'magnitude-at-init', density=0.5))
    assert [int(part.sum()) for part in kept.values()] == [19_200, 5_200, 400]


@pytest.mark.parametrize('name', ['snip', 'grasp', 'magnitude-at-init', *SAMPLED, 'prospr'])
@pytest.mark.parametrize('function', ['relu', 'dead'])
def test_an_inverted_ranking_keeps_other_weights_and_at_one_half_all_others(tiny, name, function):
    task = tiny(function)
    largest, smallest = (mask_of(task, name, density=0.5, keep=keep) for keep in ('largest', 'smallest'))
    assert torch.equal(largest, ~smallest)


def test_synflow_inverted_removes_the_largest_scores(tiny):
    task = tiny('relu')
    scores = synflow.scores(task, dense_ticket(task).weights[0], {})
    smallest = mask_of(task, 'synflow', density=0.5, iterations=1, keep='smallest')[0]
    assert scores[smallest].max() <= scores[~smallest].min()
    assert not (smallest & mask_of(task, 'synflow', density=0.5, iterations=1)[0]).any()


@pytest.mark.parametrize('layers', ['uniform', 'erk', 'balanced'])
def test_random_masks_keep_the_layer_counts_of_each_method(layers):
    task = make_task(seeds=(0, 1))
    expected = {'uniform': [1_920, 3_000, 40], 'erk': [2_014, 2_213, 733], 'balanced': [2_280, 2_280, 400]}[layers]
    kept = task.network.layout.unpack(mask_of(task, 'random', density=0.1, layers=layers))
    if layers == 'erk':
        # ∝ 364, 400, 104, but the output layer has only 400: 4,560 over 764.
        expected = [round(4_560 * 364 / 764), round(4_560 * 400 / 764), 400]
    assert [part.flatten(1).sum(1).tolist() for part in kept.values()] == [[count, count] for count in expected]


def test_smart_ratio_keeps_the_published_counts_of_resnet20_for_every_seed():
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 1))
    exact = settings_class('resnet20')(name='resnet20', shortcut='identity', norm='plain')
    task = replace(task, network=Network.of(exact, (3, 8, 8), 10))
    planned = settings('smart-ratio', density=0.0059).kept_counts(task.network.layout, task.training, 5)
    mask = mask_of(task, 'smart-ratio', density=0.0059)
    assert planned == [1_574] and mask.sum(1).tolist() == [1_574, 1_574]
    assert task.network.layout.unpack(mask)['classifier.weight'].flatten(1).sum(1).tolist() == [192, 192]


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize(('model', 'density'), [('conv-2', 0.1), ('resnet20', 0.2)])
def test_the_only_round_holds_the_masked_initial_weights_and_their_accuracy(name, model, density):
    task = make_task(model, shape=(3, 8, 8), data={'crop': 1, 'flip': True})
    start, (only,) = dense_ticket(task), find_rounds(task, name, density=density)
    count, mask = task.network.layout.prunable_count, only.ticket.mask
    assert only.number == 0 and only.ticket.iteration == 0 and only.trained.step == 0 and only.search is None
    assert torch.equal(only.ticket.weights[:, :count], torch.where(mask, start.weights[:, :count], 0.))
    assert torch.equal(only.ticket.weights[:, count:], start.weights[:, count:])
    assert torch.equal(only.trained.weights, only.ticket.weights)
    for name_, buffer in start.buffers.items():
        assert torch.equal(only.ticket.buffers[name_], buffer) and torch.equal(only.trained.buffers[name_], buffer)
    assert only.trained.history == (only.trained.history[0],)
    assert only.trained.history[0].test == CPU.evaluate(task, only.trained, None)


@pytest.mark.parametrize('name', ALL)
def test_a_gem_keeps_its_mask_when_it_is_trained(name):
    task = make_task('resnet20', shape=(3, 8, 8), optimizer=SGD, length='1 epochs')
    ticket = find_rounds(task, name)[0].ticket
    trained = train_ticket(task, ticket).weights[:, :task.network.layout.prunable_count]
    assert not trained[~ticket.mask].any()
    assert not torch.equal(trained, ticket.weights[:, :task.network.layout.prunable_count])


@pytest.mark.parametrize('name', ALL)
def test_a_finished_search_yields_no_rounds(name):
    task = make_task()
    assert not find_rounds(task, name, find_rounds(task, name))


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('model', ['lenet-300-100', pytest.param('resnet20', marks=pytest.mark.slow)])
def test_seeds_have_the_same_mask_together_and_alone_and_another_seed_has_another_mask(name, model):
    def masks(*seeds: int) -> torch.Tensor:
        return mask_of(make_task(model, shape=(3, 8, 8), seeds=seeds, data={'flip': True}), name)
    together = masks(0, 5)
    assert torch.equal(together, torch.cat([masks(0), masks(5)]))
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize('name', ALL)
def test_layers_kept_out_of_pruning_are_not_ranked(name):
    task = make_task(keep_out=('dense2',))
    mask = mask_of(task, name, density=0.25)
    assert mask.shape == (1, 19_600) and int(mask.sum()) == 4_900


# --- Planted tickets ---

def on_planted(folder: Path, function: str, initializer: str = 'own') -> Task:
    task = make_task(optimizer=SGD, images=400, batch_size=200, data={'normalization': 'standardize'})
    return replace(task, network=planted.network(folder, function, initializer), data=planted.dataset())


def test_snip_finds_the_weights_of_a_planted_signal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = on_planted(tmp_path, 'flat', 'unsigned-constant')
    (only,) = find_rounds(task, 'snip', density=4 / 256)
    assert torch.equal(only.ticket.mask.view(4, 64), planted.SIGNAL)
    assert only.trained.history[0].test.accuracy[0] > 0.99


def test_grasp_keeps_planted_weights_that_oppose_the_signal_and_drops_those_that_agree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Without a weight that agrees with the labels, the loss and its gradients grow; GraSP keeps gradients large.
    against = on_planted(tmp_path, 'against')
    assert torch.equal(mask_of(against, 'grasp', density=4 / 256).view(4, 64), planted.SIGNAL)
    agreeing = on_planted(tmp_path, 'flat', 'unsigned-constant')
    assert not mask_of(agreeing, 'grasp', density=0.5).view(4, 64)[planted.SIGNAL].any()


def test_synflow_finds_planted_paths_of_large_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = mask_of(on_planted(tmp_path, 'paths'), 'synflow', density=0.0074)[0]
    assert kept.nonzero().flatten().tolist() == sorted(PATHS)


def test_magnitude_at_init_keeps_the_largest_weights_even_an_unconnected_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = mask_of(on_planted(tmp_path, 'paths'), 'magnitude-at-init', density=0.0083)[0]
    assert kept.nonzero().flatten().tolist() == sorted([*PATHS, 15 * 64 + 63])


# --- Errors ---

def test_an_emptied_layer_is_an_error_with_the_seed_and_a_remedy():
    task = make_task(seeds=(7,))
    with pytest.raises(LthError, match=r'by magnitude-at-init leaves no weight in (dense..weight) \(seed 7\)'
                                       r'.*Use random .*keep_out=\1'):
        find_rounds(task, 'magnitude-at-init', density=4 / 49_600)


@pytest.mark.parametrize('name', RANKED + ['random'])
def test_a_density_with_fewer_weights_than_layers_is_refused_when_planning(name):
    layout = make_task().network.layout
    with pytest.raises(LthError, match='keeps 2 of 49600 weights, .* 3 layers, such as dense1.weight, .* 6.1e-05'):
        settings(name, density=0.00005).kept_counts(layout, make_task().training, 5)


@pytest.mark.parametrize('name', ['snip', 'grasp', 'prospr'])
def test_more_batches_than_an_epoch_has_are_refused(name):
    more = {'steps': 5} if name == 'prospr' else {}
    settings(name, batches=5, **more).check(make_task().training, 5)
    with pytest.raises(LthError, match='algorithm.batches: 6 is more than the 5 batches of 8 in an epoch'):
        settings(name, batches=6, **more).check(make_task().training, 5)


def test_scores_that_overflow_are_an_error_with_the_seed(tiny):
    with pytest.raises(LthError, match='snip scores of seed 0 are not finite'):
        find_rounds(tiny('huge'), 'snip', density=0.5)


@pytest.mark.parametrize(('name', 'setting', 'value'), [
    ('snip', 'density', 0.), ('random', 'density', 1.1), ('synflow', 'keep', 'best'), ('grasp', 'batches', 0),
    ('grasp', 'temperature', 0.), ('synflow', 'iterations', 0), ('smart-ratio', 'classifier', 0.),
    ('snip', 'statistics', 'cold'), ('synflow', 'statistics', 'batch'), ('fisher', 'statistics', 'batch'),
    ('fisher', 'samples_per_class', 0), ('hutchinson', 'draws', 0), ('hts', 'temperature', -1.), ('prospr', 'steps', 0),
    ('prospr', 'momentum', 1.), ('prospr', 'learning_rate', 0.)])
def test_settings_that_make_no_sense_are_refused(name, setting, value):
    with pytest.raises(LthError, match=f'test: {setting}'):
        settings(name, **{setting: value})


def test_the_method_of_layer_counts_is_stored_under_its_registered_name():
    assert settings('random', layers='ERK').layers == 'erk'
    with pytest.raises(LthError, match="'erkk', did you mean 'erk'"):
        settings('random', layers='erkk')
