"""Initial weights of a network, and the network as a function of its parameters."""
import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class


def network(name: str = 'resnet20', shape: tuple[int, int, int] = (3, 32, 32),
            keep_out: tuple[str, ...] = ()) -> Network:
    return Network.of(settings_class(name)(name=name), shape, 10, keep_out)


def test_weights_are_glorot_normal_biases_zero_and_batch_norm_the_identity():
    resnet = network()
    weights = resnet.layout.unpack(resnet.initial_weights(0))
    sample = weights['blocks.7.main.0.weight']
    assert sample.std() == pytest.approx((2 / ((64 + 64) * 9)) ** 0.5, rel=0.02)
    assert abs(sample.mean()) < 0.001
    assert weights['classifier.bias'].abs().sum() == 0
    assert torch.equal(weights['stem.1.weight'], torch.ones(16)) and weights['stem.1.bias'].sum() == 0


def test_initial_weights_depend_on_the_seed_only():
    first, second = network('lenet-300-100', (1, 8, 8)), network('lenet-300-100', (1, 8, 8))
    torch.manual_seed(5)
    assert torch.equal(first.initial_weights(3), second.initial_weights(3))
    assert not torch.equal(first.initial_weights(3), first.initial_weights(4))


def test_initial_weights_do_not_depend_on_the_layers_kept_out_of_pruning():
    networks = network(), network(keep_out=('output', 'shortcut'))
    full, part = (each.layout.unpack(each.initial_weights(0)) for each in networks)
    assert all(torch.equal(full[name], part[name]) for name in full)


def test_logits_equal_those_of_the_module():
    conv = network('conv-2')
    weights, images = conv.initial_weights(1), torch.rand(2, 3, 32, 32)
    module = conv.module
    module.load_state_dict({name: tensor.contiguous() for name, tensor in conv.layout.unpack(weights).items()})
    assert torch.allclose(conv.logits(weights, {}, images), module(images), atol=1e-6)


@pytest.mark.filterwarnings('error')
def test_images_too_small_for_the_network_are_an_error_with_their_shape():
    with pytest.raises(LthError, match=r'conv-2 does not fit images of shape \(3, 1, 1\)'):
        network('conv-2', (3, 1, 1))


def test_building_a_network_does_not_change_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network('lenet-300-100', (1, 8, 8)).initial_weights(0)
    assert torch.equal(torch.rand(1), expected)
