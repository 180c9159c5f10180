"""Which inputs and units of a pruned network are connected to the output."""
import pytest
import torch
from torch import nn

from lth.datasets import sampling
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning.effective_sparsity import ConnectedLayer, ConnectedTotals, connected_layers, connected_totals
from lth.recipes.schema import DataSettings
from tests.conftest import random_dataset, make_task


def network_of(*layers: nn.Module, shape: tuple[int, int, int]) -> Network:
    module = nn.Sequential(*layers)
    return Network(module, Layout.of(module), shape, 2, settings_class('lenet-5')(name='lenet-5'))


def test_everything_is_connected_in_a_dense_network():
    network = make_task().network
    mask = torch.ones(network.layout.prunable_count, dtype=torch.bool)
    assert connected_totals(network, mask) == ConnectedTotals(64, 64, 404, 404)


def test_units_that_no_connected_unit_uses_are_not_connected():
    network = network_of(
        nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2), shape=(1, 2, 2))
    mask = torch.zeros(network.layout.prunable_count, dtype=torch.bool)
    first, second, output = network.layout.unpack(mask).values()
    # Unit 0 of the second layer is read; unit 1 reads unit 1 of the first, but no unit reads it; unit 2 reads nothing.
    output[0, 0] = output[1, 2] = True
    second[0, 0] = second[1, 1] = True
    first[0, 3] = first[1, 0] = first[1, 1] = first[2, 2] = True
    assert connected_layers(network, mask) == [
        ConnectedLayer('1.weight', 1, 4, 1, 3), ConnectedLayer('3.weight', 1, 3, 2, 3),
        ConnectedLayer('5.weight', 2, 3, 2, 2)]


def test_a_channel_is_connected_if_one_of_its_pixels_is_used():
    network = network_of(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2), shape=(2, 4, 4))
    mask = torch.zeros(network.layout.prunable_count, dtype=torch.bool)
    convolution, dense = network.layout.unpack(mask).values()
    dense[1, 7] = True  # the last pixel of channel 1
    convolution[1, 0, 2, 2] = convolution[2, 1, 0, 0] = True
    assert connected_layers(network, mask) == [
        ConnectedLayer('0.weight', 1, 2, 1, 3), ConnectedLayer('4.weight', 1, 12, 2, 2)]


def test_layers_kept_out_of_pruning_are_fully_connected():
    network = make_task(keep_out=('output',)).network
    nothing = torch.zeros(network.layout.prunable_count, dtype=torch.bool)
    assert connected_layers(network, nothing)[2] == ConnectedLayer('output.weight', 100, 100, 4, 4)
    assert connected_totals(network, nothing) == ConnectedTotals(0, 64, 104, 404)


def every(network: Network) -> torch.Tensor:
    return torch.ones(network.layout.prunable_count, dtype=torch.bool)


@pytest.mark.parametrize(('model', 'shape', 'more'), [
    ('conv-4', (3, 8, 8), {}), ('vgg11', (3, 32, 32), {}), ('resnet20', (3, 8, 8), {'norm': 'plain'}),
    ('resnet110', (3, 8, 8), {}), ('wide-resnet28-2', (3, 8, 8), {}), ('mobilenet-v2', (3, 8, 8), {}),
    ('resnet50', (3, 32, 32), {}), ('densenet', (3, 8, 8), {'depth': 16, 'growth': 4})])
def test_connections_are_determined_for_every_model_family(model, shape, more):
    network = Network.of(settings_class(model)(name=model, **more), shape, 4)
    layers = connected_layers(network, every(network))
    slots = [slot for slot in network.layout.slots if slot.kind != 'other']
    assert {layer.name for layer in layers} == {slot.name for slot in slots}
    assert all((layer.inputs, layer.units) == (layer.total_inputs, layer.total_units) for layer in layers)
    sparse = torch.rand(network.layout.prunable_count, generator=torch.Generator().manual_seed(0)) < 0.01
    few = connected_totals(network, sparse)
    assert 0 < few.units <= few.total_units == sum(slot.shape[0] for slot in slots)


def test_channels_of_a_residual_block_are_connected_through_the_block_and_others_through_all_later_blocks():
    network = Network.of(settings_class('resnet20')(name='resnet20'), (3, 8, 8), 4)
    mask = every(network)
    masks = network.layout.unpack(mask)
    names = [slot.name for slot in network.layout.prunable_slots]
    inside = next(name for name in names if masks[name].shape[:2] == (16, 16) and names.index(name) == 2)
    masks[inside][:, 5] = False  # no channel reads channel 5 of the first block's first convolution
    layers = {layer.name: layer for layer in connected_layers(network, mask)}
    assert (layers[names[1]].units, layers[names[1]].total_units) == (15, 16)
    assert (layers[inside].inputs, layers[inside].units) == (15, 16)
    masks[names[1]][:, 3] = False  # later blocks still read channel 3
    assert {layer.name: layer for layer in connected_layers(network, mask)}[names[0]].units == 16


def test_inputs_that_are_zero_in_all_images_are_not_connected():
    network, nonzero_pixels = make_task().network, torch.ones(1, 8, 8, dtype=torch.bool)
    nonzero_pixels[0, 0] = False
    assert connected_totals(network, every(network), nonzero_pixels) == ConnectedTotals(56, 64, 404, 404)
    assert connected_layers(network, every(network), nonzero_pixels)[1].inputs == 300


def test_nonzero_pixels_consider_all_images_and_are_unknown_for_standardized_or_moved_images():
    dark = random_dataset()
    for split in (dark.train, dark.test):
        split.images[:, :, :2] = 0
    dark.test.images[7, 0, 1, 4] = 1
    nonzero_pixels = sampling.nonzero_pixels(dark, DataSettings(name='digits'))
    assert nonzero_pixels.shape == (1, 8, 8) and int((~nonzero_pixels).sum()) == 15
    for settings in ({'normalization': 'standardize'}, {'flip': True}, {'crop': 1}):
        assert sampling.nonzero_pixels(dark, DataSettings(name='digits', **settings)) is None


def test_connections_are_not_determined_for_unknown_layers():
    network = network_of(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), shape=(1, 2, 2))
    assert connected_totals(network, every(network)) is None


def test_weights_of_unconnected_units_do_not_change_the_output():
    network, random = make_task().network, torch.Generator().manual_seed(1)
    mask = torch.rand(network.layout.prunable_count, generator=random) < 0.01
    weights, images = network.initial_weights(0), torch.rand(5, 1, 8, 8, generator=random)
    weights[:len(mask)] *= mask
    before = network.logits(weights, {}, images)
    unread = ~network.layout.unpack(mask)['output.weight'].any(0)
    assert int((~unread).sum()) == connected_layers(network, mask)[1].units < 100
    named = network.layout.unpack(weights)
    named['dense2.weight'][unread], named['dense2.bias'][unread] = 7., 7.
    assert torch.equal(network.logits(weights, {}, images), before)
