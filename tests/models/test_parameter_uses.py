"""The output layer of a user's model is the one that forward uses last, wherever it is registered."""
import math
import re
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.objects import register_model
from lth.models.parameter_uses import parameters_by_use
from lth.models.registry import MODELS, settings_class
from lth.pruning.layer_densities import published_smart_ratio

SHAPE = (1, 8, 8)
# One of each kind.
_TORCHVISION = (
    'alexnet', 'convnext_tiny', 'densenet121', 'efficientnet_b0', 'efficientnet_v2_s', 'googlenet', 'inception_v3',
    'maxvit_t', 'mnasnet0_5', 'mobilenet_v2', 'mobilenet_v3_small', 'regnet_y_400mf', 'resnet18', 'shufflenet_v2_x0_5',
    'squeezenet1_0', 'swin_t', 'swin_v2_t', 'vgg11', 'vit_b_16')


class HeadFirst(nn.Module):
    """The layer that computes the logits is registered first, and one that only an auxiliary loss needs last."""

    def __init__(self, shape, classes):
        super().__init__()
        self.head, self.first = nn.Linear(16, classes), nn.Linear(math.prod(shape), 16)
        self.second, self.auxiliary = nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, images):
        features = self.second(self.first(images.flatten(1)).relu()).relu()
        logits = self.head(features)
        self.angles = self.auxiliary(features).detach()
        return logits


class Product(torch.autograd.Function):  # pylint: disable=abstract-method,arguments-differ # as torch documents it
    """A dense layer of a user's own."""

    @staticmethod
    def forward(ctx, features, weight):
        ctx.save_for_backward(features, weight)
        return features @ weight.t()

    @staticmethod
    def backward(ctx, gradient):
        features, weight = ctx.saved_tensors
        return gradient @ weight, gradient.t() @ features


def called(net: HeadFirst, features: Tensor) -> Tensor:
    return net.head(features)  # type: ignore[no-any-return]


def read(net: HeadFirst, features: Tensor) -> Tensor:
    return F.linear(features, F.normalize(net.head.weight - net.head.weight.mean()))


def own_function(net: HeadFirst, features: Tensor) -> Tensor:
    return Product.apply(features, net.head.weight)  # type: ignore[no-any-return, no-untyped-call]


def used_before(net: HeadFirst, features: Tensor) -> Tensor:
    return net.head(features + net.head.weight.sum())  # type: ignore[no-any-return]


def network_of(factory: Callable[..., nn.Module], *keep_out: str) -> Network:
    name = register_model(factory)
    return Network.of(settings_class(name)(name=name), SHAPE, 4, keep_out)


@pytest.mark.parametrize('head', [called, read, own_function, used_before])
def test_the_output_layer_is_the_last_whose_weight_reaches_the_logits(head):
    class Changed(HeadFirst):
        def forward(self, images):
            features = self.second(self.first(images.flatten(1)).relu()).relu()
            self.angles = self.auxiliary(features)
            return head(self, features)
    uses = parameters_by_use(Changed(SHAPE, 4), SHAPE)
    assert [name for name in uses if name.endswith('weight')] == ['first.weight', 'second.weight', 'head.weight']


def test_a_layer_that_is_called_twice_is_last_where_it_is_called_last():
    first, shared, last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
    module = nn.Sequential(nn.Flatten(), shared, first, last, nn.ReLU(), shared)
    weights = [name for name in parameters_by_use(module, SHAPE) if 'weight' in name]
    assert weights == ['2.weight', '3.weight', '1.weight']


def test_a_network_that_computes_no_gradient_has_no_uses():
    def refuse(_module, _inputs):
        raise RuntimeError('no')
    broken = HeadFirst(SHAPE, 4)
    broken.register_forward_pre_hook(refuse)
    frozen = HeadFirst(SHAPE, 4)
    frozen.register_forward_hook(lambda _module, _inputs, logits: logits.detach())
    assert parameters_by_use(broken, SHAPE) == parameters_by_use(frozen, SHAPE) == ()


def test_the_output_layer_is_kept_out_of_pruning_and_noted_if_another_is_registered_last():
    network = network_of(HeadFirst, 'output')
    prunable = [slot.name for slot in network.layout.prunable_slots]
    assert prunable == ['first.weight', 'second.weight', 'auxiliary.weight']
    assert network.notes[0].endswith('the output layer is head.weight, which forward uses last, not auxiliary.weight, '
                                     'which is registered last')
    in_order = network_of(lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, classes)))
    assert in_order.layout.output_name == '2.weight' and in_order.notes == ()


def test_smart_ratio_gives_the_density_of_the_classifier_to_the_output_layer():
    widths = [10, 10, 10, 10, 10]
    layers = [nn.Linear(*pair) for pair in pairwise(widths)]
    last_first = nn.Sequential(layers[3], *layers[:3])
    slots = Layout.of(last_first, uses=('1.weight', '2.weight', '3.weight', '0.weight')).prunable_slots
    assert published_smart_ratio(slots, 106 / 400) == (30, 40, 24, 12)


def test_a_run_from_before_is_read_with_the_output_layer_that_it_has(lth, tmp_path, monkeypatch):
    (tmp_path / 'net.py').write_text('''
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.first = nn.Linear(12, 10), nn.Linear(64, 12)
    def forward(self, images):
        return self.head(self.first(images.flatten(1)).relu())
def net(_shape, _classes):
    return Net()
''')
    search = ('find-ticket', 'net.py:net', 'digits', '-i', '1', '-e', '1', '--set', 'algorithm.keep_out=[output]')
    with monkeypatch.context() as before:
        before.setattr('lth.models.network.parameters_by_use', lambda _module, _shape: ())
        assert lth(*search, '--run', 'r').code == 0
    evaluated = lth('evaluate', 'r', '--trust-code')
    assert evaluated.code == 0 and re.search(r'first\.weight +768 +768 +100\.00', evaluated.out)
    assert 'was started with another network' in lth(*search, '--run', 'r', '--seeds', '0-1').err


@pytest.mark.slow
@pytest.mark.parametrize('name', [*MODELS.names(), *(f'torchvision:{name}' for name in _TORCHVISION)])
def test_the_output_layers_of_the_zoo_and_of_torchvision_are_registered_last(name):
    size = 299 if 'inception' in name else 224 if ':' in name or 'imagenet' in name else 64
    shape = (3, size, size)
    module = MODELS.find(name)(shape, 10).train().to('meta')
    with torch.device('meta'):
        uses = parameters_by_use(module, shape)
    assert uses and Layout.of(module, uses=uses).output_name == Layout.of(module).output_name
