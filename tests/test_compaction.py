"""What of a pruned network still carries anything."""
import torch
from torch import nn

from lth.compaction import Carrying, Compaction, carrying, compaction
from lth.models import settings_of
from lth.network import Network
from lth.vectors import Layout
from tests.conftest import task_of


def network_of(*layers: nn.Module, shape: tuple[int, int, int]) -> Network:
    module = nn.Sequential(*layers)
    return Network(module, Layout.of(module), shape, 2, settings_of('lenet-5')(name='lenet-5'))


def test_a_dense_network_carries_everything():
    network = task_of().network
    every = torch.ones(network.layout.prunable, dtype=torch.bool)
    assert compaction(network, every) == Compaction(64, 64, 404, 404)


def test_what_nobody_reads_carries_nothing_and_neither_does_what_only_it_reads():
    network = network_of(
        nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2), shape=(1, 2, 2))
    mask = torch.zeros(network.layout.prunable, dtype=torch.bool)
    first, second, output = network.layout.unpack(mask).values()
    # Unit 0 of the second layer is read; unit 1 reads unit 1 of the first, but nobody reads it; unit 2 reads nothing.
    output[0, 0] = output[1, 2] = True
    second[0, 0] = second[1, 1] = True
    first[0, 3] = first[1, 0] = first[1, 1] = first[2, 2] = True
    assert carrying(network, mask) == [
        Carrying('1.weight', 1, 4, 1, 3), Carrying('3.weight', 1, 3, 2, 3), Carrying('5.weight', 2, 3, 2, 2)]


def test_a_channel_carries_if_any_of_its_pixels_is_read():
    network = network_of(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2), shape=(2, 4, 4))
    mask = torch.zeros(network.layout.prunable, dtype=torch.bool)
    convolution, dense = network.layout.unpack(mask).values()
    dense[1, 7] = True  # the last pixel of channel 1
    convolution[1, 0, 2, 2] = convolution[2, 1, 0, 0] = True
    assert carrying(network, mask) == [Carrying('0.weight', 1, 2, 1, 3), Carrying('4.weight', 1, 12, 2, 2)]


def test_layers_kept_out_of_pruning_are_whole():
    network = task_of(keep_out=('output',)).network
    nothing = torch.zeros(network.layout.prunable, dtype=torch.bool)
    assert carrying(network, nothing)[2] == Carrying('output.weight', 100, 100, 4, 4)
    assert compaction(network, nothing) == Compaction(0, 64, 104, 404)


def test_nothing_is_said_of_networks_that_are_not_a_chain():
    network = task_of('resnet20', shape=(3, 8, 8)).network
    assert compaction(network, torch.ones(network.layout.prunable, dtype=torch.bool)) is None


def test_what_carries_nothing_may_be_anything():
    network, random = task_of().network, torch.Generator().manual_seed(1)
    mask = torch.rand(network.layout.prunable, generator=random) < 0.01
    weights, images = network.fresh(0), torch.rand(5, 1, 8, 8, generator=random)
    weights[:len(mask)] *= mask
    before = network.logits(weights, {}, images)
    unread = ~network.layout.unpack(mask)['output.weight'].any(0)
    assert int((~unread).sum()) == carrying(network, mask)[1].units < 100
    named = network.layout.unpack(weights)
    named['dense2.weight'][unread], named['dense2.bias'][unread] = 7., 7.
    assert torch.equal(network.logits(weights, {}, images), before)
