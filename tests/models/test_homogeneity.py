"""Networks in which SynFlow's flow is not conserved are refused with the layer."""
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.homogeneity import refuse_other_layers
from lth.models.network import Network
from lth.models.registry import settings_class


def network_of(module: nn.Module) -> Network:
    """A network of a module for images of 1 × 2 × 2."""

    return Network(module, Layout.of(module), (1, 2, 2), 3, settings_class('lenet-5')(name='lenet-5'))


class _Functional(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.dense, self.function = nn.Linear(4, 3), function

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.function(self.dense(images.flatten(1)))
        return result


@pytest.mark.parametrize(('layer', 'says'), [
    (nn.LayerNorm(4), 'LayerNorm'), (nn.GELU(), 'GELU'), (nn.Tanh(), 'tanh'), (nn.Sigmoid(), 'sigmoid'),
    (nn.SiLU(), 'SiLU'), (nn.Softmax(1), 'softmax')])
def test_layers_that_are_not_homogeneous_are_refused_with_their_place(layer, says):
    module = nn.Sequential(nn.Flatten(), layer, nn.Linear(4, 3))
    with pytest.raises(LthError, match=f'synflow cannot be used with lenet-5, which computes {says} in or after its '
                                       'layer 1. .*such as snip or grasp'):
        refuse_other_layers(network_of(module), 'synflow')


@pytest.mark.parametrize('function', [F.gelu, torch.tanh, Tensor.sigmoid, lambda tensor: tensor.softmax(1)])
def test_functions_without_a_layer_are_refused_too(function):
    with pytest.raises(LthError, match='in or after its layer dense'):
        refuse_other_layers(network_of(_Functional(function)), 'synflow')


@pytest.mark.parametrize('layer', [
    nn.ReLU(), nn.LeakyReLU(), nn.Dropout(0.5), nn.Identity(), nn.BatchNorm1d(4), nn.Unflatten(1, (4,))])
def test_homogeneous_layers_are_accepted(layer):
    refuse_other_layers(network_of(nn.Sequential(nn.Flatten(), layer, nn.Linear(4, 3))), 'synflow')


@pytest.mark.parametrize(('model', 'options'), [
    ('resnet20', {}), ('conv-2', {'dropout': 0.5}), ('mobilenet-v2', {}), ('densenet', {'depth': 10})])
def test_convolutional_networks_of_the_zoo_are_accepted(model, options):
    refuse_other_layers(Network.of(settings_class(model)(name=model, **options), (1, 8, 8), 4), 'synflow')


@pytest.mark.parametrize('model', ['vit-tiny', 'mlp-mixer'])
def test_networks_with_layer_norm_are_refused(model):
    network = Network.of(settings_class(model)(name=model, depth=1, width=6), (1, 8, 8), 4)
    with pytest.raises(LthError, match=f'{model}, which computes LayerNorm in or after its layer blocks.0.norm1'):
        refuse_other_layers(network, 'synflow')


def test_the_flow_of_a_network_with_layer_norm_would_indeed_vanish():
    """Scores before a LayerNorm sum to 0, as its output does not change if all of these weights are scaled."""

    before, after = nn.Linear(4, 5, bias=False), nn.Linear(5, 3, bias=False)
    with torch.no_grad():
        before.weight.abs_()
        after.weight.abs_()
    flows = {}
    for name, between in (('relu', nn.ReLU()), ('norm', nn.LayerNorm(5, eps=0.))):
        flow = after(between(before(torch.ones(1, 4)))).sum()
        flows[name] = (torch.autograd.grad(flow, before.weight)[0] * before.weight).sum()
    assert flows['relu'] > 0.1 and flows['norm'].abs() < 1e-4
