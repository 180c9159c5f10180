"""Which networks are recognized as chains of convolutions and dense layers."""
import pytest
import torch
from torch import nn

from tests.training.engines.sparse_cpu.sparse_tasks import chain_of


def test_dense_layers_are_recognized_with_and_without_biases():
    last = nn.Sequential(nn.Identity(), nn.Linear(5, 4))
    chain = chain_of(nn.Flatten(), nn.Linear(64, 5, bias=False), nn.ReLU(), last)
    assert chain is not None and not chain.convolutions
    assert [(layer.weight.name, layer.bias and layer.bias.name) for layer in chain.dense] == [
        ('1.weight', None), ('3.1.weight', '3.1.bias')]
    assert [layer.positions for layer in chain.layers] == [1, 1]


def test_convolutions_are_recognized_with_their_pools_and_sizes():
    chain = chain_of(nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)), nn.Conv2d(6, 3, 3, padding=1),
                     nn.ReLU(), nn.Identity(), nn.Flatten(), nn.Linear(12, 4))
    assert chain is not None
    first, second = chain.convolutions
    assert [layer.weight.name for layer in chain.layers] == ['0.0.weight', '1.weight', '5.weight']
    assert (first.kernel_size, first.padding, first.pooled) == (5, 0, True)
    assert (first.input_size, first.conv_size, first.output_size, first.positions) == ((8, 8), (4, 4), (2, 2), 16)
    assert (second.kernel_size, second.padding, second.pooled) == (3, 1, False)
    assert (second.input_size, second.conv_size, second.output_size, second.positions) == ((2, 2), (2, 2), (2, 2), 4)


@pytest.mark.parametrize(('modules', 'reason'), [
    ([nn.Flatten(), nn.Linear(64, 4), nn.Tanh(), nn.Linear(4, 4)], 'tanh'),
    ([nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 4)], 'no relu'),
    ([nn.Flatten(), nn.Linear(64, 4), nn.ReLU()], 'relu at the end'),
    ([nn.Flatten(), nn.Linear(64, 4), nn.Dropout(), nn.Linear(4, 4)], 'dropout'),
    ([nn.Flatten(), nn.Linear(32, 4)], 'other number of inputs'),
    ([nn.Conv1d(8, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)], 'one-dimensional')])
def test_other_networks_are_not_chains(modules, reason):
    assert chain_of(*modules) is None, reason


def test_network_that_uses_a_layer_twice_is_not_a_chain():
    twice = nn.Linear(64, 64)
    assert chain_of(nn.Flatten(), twice, nn.ReLU(), twice, nn.ReLU(), nn.Linear(64, 4)) is None


@pytest.mark.parametrize(('modules', 'reason'), [
    ([nn.Conv2d(1, 2, 3, padding=1, stride=2), nn.ReLU()], 'stride'),
    ([nn.Conv2d(1, 2, 3, padding=2, dilation=2), nn.ReLU()], 'dilation'),
    ([nn.Conv2d(1, 2, 3, padding=1, padding_mode='circular'), nn.ReLU()], 'padding other than zeros'),
    ([nn.Conv2d(1, 2, 3, padding='same'), nn.ReLU()], 'padding by name'),
    ([nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), nn.ReLU()], 'kernel that is not square'),
    ([nn.Conv2d(1, 2, 3, padding=3), nn.ReLU()], 'padding wider than the kernel'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1, groups=2), nn.ReLU()], 'groups'),
    ([nn.Conv2d(1, 2, 3, padding=1)], 'no relu'), ([nn.Conv2d(1, 2, 3, padding=1), nn.Tanh()], 'tanh'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()], 'batchnorm'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()], 'pool before relu'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)], 'average pool'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)], 'overlapping pool'),
    ([nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)], 'pool beyond the edge'),
    ([nn.MaxPool2d(2), nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()], 'pool first')])
def test_networks_with_other_convolutions_are_not_chains(modules, reason):
    features = nn.Sequential(*modules)(torch.zeros(1, 1, 8, 8)).numel()
    assert chain_of(*modules, nn.Flatten(), nn.Linear(features, 4)) is None, reason
