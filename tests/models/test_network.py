"""Initial weights and the network as a function."""
import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class


def network(name: str = 'resnet20', shape: tuple[int, int, int] = (3, 32, 32),
            keep_out: tuple[str, ...] = ()) -> Network:
    return Network.of(settings_class(name)(name=name), shape, 10, keep_out)


def test_weights_are_glorot_normal_biases_zero_and_batch_norm_the_identity():
    found = network()
    weights = found.layout.unpack(found.fresh(0))
    sample = weights['blocks.7.main.0.weight']
    assert sample.std() == pytest.approx((2 / ((64 + 64) * 9)) ** 0.5, rel=0.02)
    assert abs(sample.mean()) < 0.001
    assert weights['classifier.bias'].abs().sum() == 0
    assert torch.equal(weights['stem.1.weight'], torch.ones(16)) and weights['stem.1.bias'].sum() == 0


def test_the_seed_decides_the_weights_and_nothing_else_does():
    one, other = network('lenet-300-100', (1, 8, 8)), network('lenet-300-100', (1, 8, 8))
    torch.manual_seed(5)
    assert torch.equal(one.fresh(3), other.fresh(3))
    assert not torch.equal(one.fresh(3), one.fresh(4))


def test_a_layer_kept_out_of_pruning_does_not_change_the_draw():
    one, other = network(), network(keep_out=('output', 'shortcut'))
    mine, theirs = one.layout.unpack(one.fresh(0)), other.layout.unpack(other.fresh(0))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_function_equals_the_module():
    found = network('conv-2')
    weights, images = found.fresh(1), torch.rand(2, 3, 32, 32)
    module = found.module
    module.load_state_dict({name: tensor.contiguous() for name, tensor in found.layout.unpack(weights).items()})
    assert torch.allclose(found.logits(weights, {}, images), module(images), atol=1e-6)


def test_pictures_too_small_for_the_network_are_refused_with_their_shape():
    with pytest.raises(LthError, match=r'conv-2 does not fit pictures of shape \(3, 1, 1\)'):
        network('conv-2', (3, 1, 1))


def test_building_a_network_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network('lenet-300-100', (1, 8, 8)).fresh(0)
    assert torch.equal(torch.rand(1), expected)
