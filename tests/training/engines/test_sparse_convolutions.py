"""Convolutions in the sparse engine against the plain one in float64."""
import math
from dataclasses import replace

import numba
import numpy as np
import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines import select
from lth.training.engines.sparse_cpu import conv_layout, dense_layout
from lth.training.engines.sparse_cpu import engine as sparse_engine
from lth.training.engines.sparse_cpu import kernels, rule
from lth.training.engines.sparse_cpu.supported import Chain, supported_chain
from lth.training.loop import train
from lth.training.task import Task
from tests.conftest import CPU, SGD, full_mask, make_task
from tests.training.engines.test_sparse_cpu import (
    OPTIMIZERS, SPARSE, assert_engines_take_turns, drawn, ends, exact, gap, ticket_of)


def filtered(task: Task, *layers: tuple[int, int, int, bool], width: int = 6, bias: bool = True) -> Task:
    """The task with convolutions of so many channels, this side and padding, pooled or not, then a dense layer."""

    torch.manual_seed(0)
    channels, found = task.data.shape[0], list[nn.Module]()
    for units, side, padding, pooled in layers:
        found += [nn.Conv2d(channels, units, side, padding=padding, bias=bias), nn.ReLU()]
        found += [nn.MaxPool2d(2)] if pooled else []
        channels = units
    features = nn.Sequential(*found)(torch.zeros(1, *task.data.shape)).numel()
    module = nn.Sequential(*found, nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 4)).eval()
    return replace(task, network=Network(module, Layout.of(module), task.data.shape, 4, task.network.settings))


def conv_2(**settings) -> Task:
    """Two convolutions, then a pool, as Conv-2 has them."""

    return filtered(make_task(**settings), (4, 3, 1, False), (5, 3, 1, True))


@pytest.mark.parametrize('density', [1., 0.5, 0.1])
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_they_equal_the_plain_engine_in_float64(optimizer, density):
    assert gap(conv_2(optimizer=OPTIMIZERS[optimizer], length='40 epochs'), density) < 1e-6


@pytest.mark.parametrize('layers', [
    [(3, 5, 0, True), (4, 3, 0, True)], [(3, 3, 1, True), (4, 3, 1, True), (2, 3, 1, True)], [(2, 3, 1, False)],
    [(3, 3, 0, False), (3, 2, 1, True)], [(3, 1, 0, True), (3, 1, 0, False)], [(3, 5, 2, False), (3, 4, 1, True)],
    [(4, 3, 2, True), (1, 3, 1, False), (4, 3, 1, True)]], ids=str)
@pytest.mark.parametrize('shape', [(1, 13, 14), (3, 15, 13)], ids=str)
def test_any_filter_padding_and_depth_will_do_also_where_a_pool_leaves_an_edge_out(layers, shape):
    data = {'normalization': 'standardize' if shape[0] == 3 else 'scale'}
    assert gap(filtered(make_task(shape=shape, data=data, optimizer=SGD), *layers), 0.4, 12) < 1e-6


@pytest.mark.parametrize('batch', [1, 63, 65, 128])
def test_any_batch_size_will_do(batch):
    assert gap(conv_2(optimizer=SGD, images=200, batch_size=batch, length='40 epochs'), 0.3) < 1e-6


@pytest.mark.parametrize(('model', 'shape'), [('conv-4', (3, 8, 8)), ('lenet-5', (1, 16, 16))])
def test_the_networks_of_the_papers_will_do(model, shape):
    assert gap(make_task(model, shape=shape, optimizer=SGD | {'learning_rate': 0.02}), 0.05, 5) < 1e-6


def test_layers_without_biases_will_do():
    task = make_task(optimizer=SGD)
    assert gap(filtered(task, (4, 3, 1, True), (4, 3, 1, False), bias=False), 0.4, 12) < 1e-6


def test_the_first_of_equal_sums_wins_a_pool():
    """Weights of 0 make all sums equal, and what their gradient is hangs on the place that won."""

    task = filtered(make_task(optimizer=SGD), (2, 3, 1, True))
    state = drawn(task)
    named = task.network.layout.unpack(state.weights)
    named['0.weight'].zero_()
    named['0.bias'].fill_(1)
    expected = ends(task, exact(state), full_mask(task), 1, engine=CPU)
    assert (ends(task, state, full_mask(task), 1).weights - expected.weights).abs().max() < 1e-7
    assert task.network.layout.unpack(expected.weights)['0.weight'].abs().max() > 1e-3


def test_a_channel_without_incoming_weights_trains_its_bias_and_one_without_outgoing_ones_stays():
    task = conv_2(optimizer=SGD | {'weight_decay': 0.})
    state, alive = drawn(task), full_mask(task)
    masks = {name: mask[0] for name, mask in task.network.layout.unpack(alive).items()}
    masks['0.weight'][0], masks['2.weight'][:, 1] = False, False
    masks['6.weight'].view(6, 5, -1)[:, 2] = False
    task.network.layout.unpack(state.weights)['0.bias'].fill_(0.1)
    before = {name: weights[0].clone() for name, weights in task.network.layout.unpack(state.weights).items()}
    state = replace(state, weights=torch.where(alive, state.weights, 0.))
    found = ends(task, state, alive, 8)
    after = {name: weights[0] for name, weights in task.network.layout.unpack(found.weights).items()}
    assert after['0.bias'][0] != before['0.bias'][0] and after['0.bias'][1] == before['0.bias'][1]
    assert torch.equal(after['0.weight'][1], before['0.weight'][1])
    assert torch.equal(after['2.weight'][2, 0], before['2.weight'][2, 0])
    assert not torch.equal(after['2.weight'][1, 0], before['2.weight'][1, 0])
    assert (found.weights - ends(task, exact(state), alive, 8, engine=CPU).weights).abs().max() < 1e-6


def test_a_network_of_which_nothing_is_left_trains_the_biases_of_its_output():
    task = conv_2(optimizer=SGD)
    assert gap(task, 0., 8) < 1e-6


def test_pruned_weights_keep_their_bits():
    task = conv_2(optimizer=OPTIMIZERS['adam+wd'])
    state, alive = ticket_of(task, 0.2)
    state.weights[~alive] = -0.
    found = ends(task, state, alive, 9)
    assert torch.equal(found.weights[~alive].view(torch.int32), state.weights[~alive].view(torch.int32))
    assert found.engine == 'sparse'


@pytest.mark.parametrize('optimizer', ['adam', 'momentum'])
def test_one_engine_goes_on_where_the_other_stopped(optimizer):
    assert_engines_take_turns(conv_2(optimizer=OPTIMIZERS[optimizer]))


def test_where_it_stops_or_a_call_ends_changes_nothing(monkeypatch):
    task = conv_2()
    state, alive = ticket_of(task, 0.3)
    once = ends(task, state, alive, 13)
    assert torch.equal(ends(task, state, alive, 1, 4, 5, 9, 13).weights, once.weights)
    assert torch.equal(ends(task, ends(task, state, alive, 7), alive, 13).weights, once.weights)
    monkeypatch.setattr(sparse_engine, '_WORK', 1)
    assert torch.equal(ends(task, state, alive, 13).weights, once.weights)


def test_in_a_pool_no_number_beats_all_as_in_torch():
    given = np.array([[math.nan, 1, math.nan, 2, 1], [1, math.nan, math.nan, 1, 1]], dtype=np.float32)
    rows, found = np.zeros((2, 64), dtype=np.float32), np.zeros((1, 64), dtype=np.float32)
    rows[:, :5] = given

    @numba.njit
    def tell(rows, found):
        one, other = kernels.load(rows, 0), kernels.load(rows, 1)
        kernels.store(found, 0, kernels.beats(one, other, kernels.splat(1.), kernels.splat(0.)))

    tell(rows, found)
    assert found[0, :5].tolist() == [1, 0, 1, 1, 0]
    # torch tells the place of the greatest: the other stands before the one.
    pairs = torch.tensor(given[::-1].copy()).T[:, None]
    _, places = torch.nn.functional.max_pool1d(pairs, 2, return_indices=True)
    assert places.flatten().tolist() == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(('rate', 'scale'), [(1e30, 1.), (0.1, 1e25)])
def test_a_loss_that_is_no_number_is_told_as_by_the_plain_engine(rate, scale):
    says = []
    for engine in (CPU, SPARSE):
        task = conv_2(engine=engine, optimizer={'name': 'sgd', 'learning_rate': rate}, length='20 epochs')
        state, alive = ticket_of(task, 0.5)
        state.weights.mul_(scale)
        with pytest.raises(LthError, match='no longer a finite number') as caught:
            train(task, state, until=100, trainable=alive)
        says.append(str(caught.value))
    assert says[0] == says[1]


@pytest.mark.parametrize('density', [1., 0.05])
def test_scores_are_those_of_the_plain_engine(density):
    task = filtered(make_task(shape=(3, 9, 9), images=200, data={'normalization': 'standardize'}),
                    (4, 3, 1, True), (5, 3, 1, False))
    trained = ends(task, *ticket_of(task, density), 9)
    for pictures in ([task.splits[0][1]], [torch.tensor([5, 3, 199, 7] * 17)], None):
        for found in (trained, replace(trained, weights=trained.weights.clone())):
            mine, theirs = SPARSE.evaluate(task, found, pictures), CPU.evaluate(task, found, pictures)
            assert mine.accuracy == theirs.accuracy
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-6)


def test_what_was_prepared_is_all_that_is_compiled():
    sparse_engine.compile_kernels()
    task = conv_2(shape=(3, 8, 8), optimizer=SGD, data={'normalization': 'standardize'}, batch_size=1)
    SPARSE.evaluate(task, ends(task, *ticket_of(task, 0.2), 1, 3), None)
    assert [len(kernel.signatures) for kernel in (kernels.train, kernels.score, kernels.turned_once)] == [1, 1, 1]


def chain_of(*layers: nn.Module) -> Chain | None:
    """The chain that is found in a sequence of these layers."""

    module = nn.Sequential(*layers)
    return supported_chain(replace(make_task().network, module=module, layout=Layout.of(module)))


def test_convolutions_are_found_with_their_pools_and_sizes():
    found = chain_of(nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)), nn.Conv2d(6, 3, 3, padding=1),
                     nn.ReLU(), nn.Identity(), nn.Flatten(), nn.Linear(12, 4))
    assert found is not None
    assert [layer.weight.name for layer in found.layers] == ['0.0.weight', '1.weight', '5.weight']
    assert [(one.kernel_size, one.padding, one.pooled, one.input_size, one.conv_size, one.output_size) for one in found.convolutions] == [
        (5, 0, True, (8, 8), (4, 4), (2, 2)), (3, 1, False, (2, 2), (2, 2), (2, 2))]


@pytest.mark.parametrize(('layers', 'name'), [
    ([nn.Conv2d(1, 2, 3, padding=1, stride=2), nn.ReLU()], 'stride'),
    ([nn.Conv2d(1, 2, 3, padding=2, dilation=2), nn.ReLU()], 'dilation'),
    ([nn.Conv2d(1, 2, 3, padding=1, padding_mode='circular'), nn.ReLU()], 'no zeros around'),
    ([nn.Conv2d(1, 2, 3, padding='same'), nn.ReLU()], 'padding by name'),
    ([nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), nn.ReLU()], 'no square'),
    ([nn.Conv2d(1, 2, 3, padding=3), nn.ReLU()], 'more zeros than the filter is wide'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.ReLU()], 'groups'),
    ([nn.Conv2d(1, 2, 3, padding=1)], 'no relu'), ([nn.Conv2d(1, 2, 3, padding=1), nn.Tanh()], 'tanh'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()], 'batchnorm'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()], 'pool before relu'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)], 'mean'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)], 'overlapping pool'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)], 'pool over the edge'),
    ([nn.MaxPool2d(2), nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()], 'pool first')])
def test_other_convolutions_are_no_chain(layers, name):
    features = nn.Sequential(*layers)(torch.zeros(1, 1, 8, 8)).numel()
    assert chain_of(*layers, nn.Flatten(), nn.Linear(features, 4)) is None, name


@pytest.mark.parametrize(('model', 'shape', 'most'), [
    ('conv-2', (3, 32, 32), [1, 13, 47, 50, 24, 49]), ('conv-6', (3, 32, 32), [0, 11, 46, 49, 24, 49]),
    ('lenet-5', (1, 28, 28), [20, 31, 66, 69, 28, 53])])
def test_the_rule_is_one_of_densities_places_and_batch(model, shape, most):
    layers = supported_chain(Network.of(settings_class(model)(name=model), shape, 10))
    found = [max(percent for percent in range(101) if rule.convolutions_pay(
        [percent * layer.weight.size // 100 for layer in layers.layers], layers, batch))
        for batch in (1, 16, 60, 64, 65, 128)]
    assert found == most
    assert not rule.convolutions_pay([layer.weight.size for layer in layers.layers], layers, 10**6)


def test_dense_convolutions_weigh_more_than_dense_units_of_as_many_weights():
    layers = supported_chain(Network.of(settings_class('conv-2')(name='conv-2'), (3, 32, 32), 10))
    sizes = [layer.weight.size for layer in layers.layers]
    assert rule.convolutions_pay([*(size // 4 for size in sizes[:2]), *sizes[2:]], layers, 60)
    assert not rule.convolutions_pay([*sizes[:2], *(size // 100 for size in sizes[2:])], layers, 60)


def test_auto_takes_what_pays_and_says_what_it_took():
    engine = select.select_engine('cpu', obstacle=None)
    task = make_task('lenet-5', shape=(1, 16, 16), batch_size=32)
    for density, name in ((1., 'eager'), (0.05, 'sparse')):
        assert engine.expects(task.network, round(density * task.network.layout.weight_count), 32) == (name == 'sparse')
        assert ends(task, *ticket_of(task, density), 1, engine=engine).engine == name


def test_memory_is_that_of_a_few_planes():
    """Values and slopes of Conv-2's 128 channels, an eighth of them again for its pool, 64 pictures at a time."""

    task = make_task('conv-2', shape=(3, 32, 32))
    nothing = np.zeros(task.network.layout.size, dtype=bool)
    room = dense_layout.room_for(conv_layout.wired(supported_chain(task.network), nothing, None), 3072)
    assert sum(part.nbytes for part in room) < 70 * 2 ** 20
