"""Permutations of channels: they change no function, and are found again from activations."""
import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.channel_groups import channel_groups
from lth.models.network import Network
from lth.models.registry import MODELS, settings_class
from lth.pruning.alignment import match_channels, permute_parameters, permute_tensors
from tests.registrations import forget_registrations

SHAPES = {'lenet-300-100': (1, 8, 8), 'lenet-5': (1, 28, 28), 'conv-2': (3, 8, 8), 'vgg11': (3, 16, 16),
          'resnet20': (3, 8, 8), 'mobilenet-v2': (3, 16, 16)}


def network_of(model: str, **settings: object) -> Network:
    return Network.of(settings_class(model)(name=model, **settings), SHAPES[model], 4)


def lively_weights(network: Network) -> torch.Tensor:
    """Initial weights with other biases, scales and shifts than 0 and 1, with which hardly a ReLU is always 0: units
    that never change cannot be told apart.
    """

    random = torch.Generator().manual_seed(5)
    weights = network.initial_weights(0)
    for slot in network.layout.slots:
        if slot.kind == 'other':
            weights[slot.start:slot.stop] += 0.2 + 0.3 * torch.rand(slot.size, generator=random)
    return weights


def normalizing_buffers(network: Network, weights: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """The statistics of BatchNorm on these images, with which no channel is always below 0."""

    buffers = network.initial_buffers()
    module = network.bind(weights, buffers)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module(images)
    return buffers


def random_images(network: Network, count: int) -> torch.Tensor:
    return torch.randn(count, *network.shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('model', SHAPES)
def test_a_network_with_permuted_channels_computes_the_same_function(model):
    network, random = network_of(model), torch.Generator().manual_seed(1)
    groups, weights, buffers = channel_groups(network), lively_weights(network), network.initial_buffers()
    orders = [torch.randperm(group.size, generator=random) for group in groups]
    images = random_images(network, 4)
    logits = network.logits(weights, buffers, images)
    permuted = permute_parameters(network.layout, groups, orders, weights)
    assert not torch.equal(permuted, weights)
    again = network.logits(permuted, permute_tensors(groups, orders, buffers), images)
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('model', ['lenet-300-100', 'vgg11', 'resnet20'])
def test_a_permutation_is_found_again_exactly(model):
    network, random = network_of(model), torch.Generator().manual_seed(1)
    groups, weights, images = channel_groups(network), lively_weights(network), random_images(network, 600)
    buffers = normalizing_buffers(network, weights, images)
    orders = [torch.randperm(group.size, generator=random) for group in groups]
    permuted = permute_parameters(network.layout, groups, orders, weights), permute_tensors(groups, orders, buffers)
    found = match_channels(network, groups, permuted, (weights, buffers), iter(images.split(200)))
    for order, inverse in zip(orders, found, strict=True):
        assert torch.equal(inverse, order.argsort())
    back = permute_parameters(network.layout, groups, found, permuted[0])
    assert torch.equal(back, weights)


def test_a_permuted_mask_keeps_as_many_weights_in_each_layer():
    network, random = network_of('resnet20'), torch.Generator().manual_seed(1)
    mask = torch.rand(network.layout.prunable_count, generator=random) < 0.2
    groups = channel_groups(network)
    permuted = permute_parameters(
        network.layout, groups, [torch.randperm(group.size, generator=random) for group in groups], mask)
    assert permuted.dtype == torch.bool and not torch.equal(permuted, mask)
    for slot in network.layout.prunable_slots:
        assert slot.view(permuted).sum() == slot.view(mask).sum()


def test_units_of_a_dense_network_are_permuted_by_hand():
    network = network_of('lenet-300-100')
    groups, weights = channel_groups(network), network.initial_weights(0)
    orders = [torch.arange(300).roll(1), torch.arange(100)]
    before = network.layout.unpack(weights)
    after = network.layout.unpack(permute_parameters(network.layout, groups, orders, weights))
    assert torch.equal(after['dense1.weight'], before['dense1.weight'].roll(1, 0))
    assert torch.equal(after['dense2.weight'], before['dense2.weight'].roll(1, 1))
    assert torch.equal(after['output.weight'], before['output.weight'])


def test_layers_of_a_residual_stage_share_one_group_and_inner_convolutions_have_their_own():
    groups = channel_groups(network_of('resnet20'))
    assert sorted(group.size for group in groups) == [16] * 4 + [32] * 4 + [64] * 4
    shared = [{axis.name for axis in group.axes if axis.dim == 0 and axis.name.endswith('weight')}
              for group in groups if len(group.axes) > 6]
    assert len(shared) == 3
    first = next(names for names in shared if 'stem.0.weight' in names)
    assert {'blocks.0.main.3.weight', 'blocks.2.main.3.weight'} < first and 'blocks.0.main.0.weight' not in first


def test_channels_of_flattened_features_are_as_many_columns_as_they_have_pixels():
    columns = {axis.name: axis.repeats for group in channel_groups(network_of('lenet-5')) for axis in group.axes
               if axis.dim == 1}
    assert columns == {'conv2.weight': 1, 'dense1.weight': 16, 'dense2.weight': 1, 'output.weight': 1}


def test_networks_that_cannot_be_aligned_are_refused_with_the_layer_and_the_reason():
    with pytest.raises(LthError, match='resnet20 cannot be aligned: after blocks.3.main.4.bias, it is not known how '
                                       '(pad|__getitem__)'):
        channel_groups(network_of('resnet20', shortcut='identity'))


def test_features_added_to_the_input_are_not_permuted(monkeypatch):
    class Added(nn.Module):
        """A convolution with a shortcut from the image."""

        def __init__(self):
            super().__init__()
            self.conv, self.output = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

        def forward(self, images):
            """Logits."""

            return self.output((images + self.conv(images)).mean((2, 3)))

    forget_registrations(monkeypatch, MODELS)
    MODELS.register('added-to-input')(lambda shape, classes: Added())
    network = Network.of(settings_class('added-to-input')(name='added-to-input'), (3, 8, 8), 4)
    assert channel_groups(network) == []
