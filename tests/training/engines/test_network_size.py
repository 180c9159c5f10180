"""How many layers a network has, and how many values they compute for an image."""
import pytest
import torch
from torch import nn

from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.network_size import network_size


def network(model, shape, classes=10):
    return Network.of(settings_class(model)(name=model), shape, classes)


@pytest.mark.parametrize(('model', 'shape', 'layers', 'activations'), [
    ('lenet-300-100', (1, 28, 28), 3, 300 + 100 + 10),
    ('conv-2', (3, 32, 32), 5, 2 * 64 * 32 * 32 + 256 + 256 + 10),
    # A first layer, three blocks per stage with two layers each, two projections; all normalized; a dense layer.
    ('resnet20', (3, 32, 32), 22, 2 * (7 * 16 * 32 ** 2 + 7 * 32 * 16 ** 2 + 7 * 64 * 8 ** 2) + 10)])
def test_the_size_counts_the_outputs_of_convolutions_dense_and_normalization_layers(model, shape, layers, activations):
    assert network_size(network(model, shape)) == (layers, activations)


class Noisy(nn.Module):
    """Uses one layer twice and draws random numbers even in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, images):
        """Logits: (B, 4)."""

        return self.layer(self.layer(images.flatten(1)) + torch.rand(4))


def test_a_layer_counts_each_time_it_is_used_and_the_query_changes_nothing():
    module = Noisy().train()
    noisy = Network(module, Layout.of(module), (1, 2, 2), 4, network('lenet-300-100', (1, 2, 2)).settings)
    generator = torch.get_rng_state()
    assert network_size(noisy) == (2, 8)
    assert torch.equal(torch.get_rng_state(), generator) and module.training and not module.layer._forward_hooks
