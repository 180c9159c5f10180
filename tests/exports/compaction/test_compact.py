"""Compaction: what is removed of small networks, by hand, and that every network of the zoo computes the same."""
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
import torch.nn.functional as F
import pytest

import lth.models.zoo  # pylint: disable=unused-import # registers the models
from lth.errors import LthError
from lth.exports.compaction.compact import Compacted, compact
from lth.models.registry import MODELS

# Small enough that all networks are compacted in seconds. Others need larger images.
OPTIONS = {'vit-tiny': {'depth': 2, 'width': 24}, 'mlp-mixer': {'depth': 2, 'width': 16},
           'densenet': {'depth': 22, 'growth': 4}}
LARGE = {'resnet110', 'resnet18', 'resnet18-imagenet', 'resnet50', 'wide-resnet28-10', 'vgg13', 'vgg16',
         'vgg16-max-pool', 'vgg19', 'densenet-100-12', 'resnet44', 'resnet56'}
SIDES = {'lenet-5': 16, 'resnet50': 32, 'resnet18-imagenet': 32, 'vgg16-max-pool': 32, 'vgg11': 16, 'vgg13': 16,
         'vgg16': 16, 'vgg19': 16}
ZOO = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in MODELS.names()
       if MODELS.is_builtin(name)]


def network_of(found: Compacted) -> nn.Module:
    """The network in the file that was written, with its weights."""

    namespace: dict[str, type[nn.Module]] = {}
    exec(found.source.code, namespace)  # pylint: disable=exec-used # what users import
    network = namespace['Network']()
    network.load_state_dict(found.source.tensors)
    return network.eval()


@torch.no_grad()
def difference(module: nn.Module, found: Compacted, images: Tensor) -> float:
    """The largest difference of logits in float64, as a share of the largest logit."""

    network = network_of(found).double()
    expected = module.double()(images.double())
    result = float((network(images.double()) - expected).abs().max() / expected.abs().max())
    module.float()
    return result


def sizes(found: Compacted) -> dict[str, int]:
    return {size.layer: size.left for size in found.sizes}


@torch.no_grad()
def prune_at_random(module: nn.Module, density: float, seed: int) -> nn.Module:
    """The module with random weights under random masks, and normalization layers with statistics of their own."""

    random = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            gain = (2 / max(1., layer.weight[0].numel() * density)) ** 0.5
            mask = torch.rand(layer.weight.shape, generator=random) < density
            layer.weight.copy_(gain * torch.randn(layer.weight.shape, generator=random) * mask)
            if layer.bias is not None:
                layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=random))
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(0.1 * torch.randn(layer.running_mean.shape, generator=random))
            layer.running_var.copy_(0.5 + torch.rand(layer.running_var.shape, generator=random))
            if layer.affine:
                layer.weight.copy_(torch.rand(layer.weight.shape, generator=random).sub(0.1).clamp(min=0))
                layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=random))
    return module.eval()


@torch.no_grad()
def dense(*rows: list[float], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.copy_(torch.tensor(rows))
    layer.bias.copy_(torch.tensor(bias))
    return layer


@torch.no_grad()
def convolution(*filters: list[float], bias: list[float], padding: int = 0, size: int = 3) -> nn.Conv2d:
    """A convolution whose filters have the same number at all places: one list of numbers, for the inputs, each."""

    layer = nn.Conv2d(len(filters[0]), len(filters), size, padding=padding)
    layer.weight.copy_(torch.tensor(filters)[:, :, None, None].expand_as(layer.weight))
    layer.bias.copy_(torch.tensor(bias))
    return layer


def test_units_that_nothing_reads_and_units_of_constant_output_are_removed():
    first = dense([1., 2.], [0., 0.], [3., 0.], [0., 0.], bias=[1., 5., 1., -1.])
    second = dense([2., 3., 0., 7.], [1., -1., 0., 7.], bias=[10., 20.])
    module = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second).eval()
    found = compact(module, torch.zeros(2, 1, 1, 2), 'mine')
    # Nothing reads the third unit; the second always is 5, the fourth relu(-1) = 0.
    assert sizes(found) == {'1': 1, '3': 2}
    network = network_of(found)
    state = network.state_dict()
    assert state['layer_1.weight'].tolist() == [[1., 2.]] and state['layer_3.weight'].tolist() == [[2.], [1.]]
    assert state['layer_3.bias'].tolist() == [10. + 3 * 5, 20. - 1 * 5]
    assert found.parameters == 2 + 1 + 2 + 2 and (found.units, found.left) == (6, 3)


def test_constants_of_removed_units_make_units_of_the_next_layers_constant():
    module = nn.Sequential(
        nn.Flatten(), dense([0., 0.], [1., 1.], bias=[2., 0.]), nn.ReLU(),
        dense([3., 0.], [0., 1.], bias=[1., 0.]), nn.ReLU(), dense([1., 1.], bias=[0.])).eval()
    found = compact(module, torch.zeros(2, 1, 1, 2), 'mine')
    assert sizes(found) == {'1': 1, '3': 1, '5': 1}
    assert network_of(found).state_dict()['layer_5.bias'].tolist() == [3. * 2 + 1]


def test_a_layer_that_loses_all_units_keeps_one():
    module = nn.Sequential(nn.Flatten(), dense([0., 0.], [0., 0.], bias=[1., 2.]), dense([4., 5.], bias=[6.])).eval()
    found = compact(module, torch.zeros(2, 1, 1, 2), 'mine')
    assert sizes(found) == {'1': 1, '2': 1}
    assert network_of(found)(torch.rand(3, 1, 1, 2)).tolist() == [[4. + 10 + 6]] * 3


@pytest.mark.parametrize('padding, value, left', [(1, 5., 2), (0, 5., 1), (1, -5., 1)])
def test_a_constant_channel_stays_only_before_a_convolution_that_pads_with_zeros_what_is_not_zero(padding, value, left):
    module = nn.Sequential(
        convolution([1.], [0.], bias=[0., value], padding=1), nn.ReLU(),
        convolution([1., 2.], bias=[0.], padding=padding), nn.Flatten()).eval()
    images = torch.rand(3, 1, 6, 6)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'0': left, '2': 1}  # relu(-5) is 0 also beyond the border
    assert difference(module, found, images) < 1e-6


def test_a_constant_channel_is_folded_through_flattening_at_every_position():
    module = nn.Sequential(
        convolution([1.], [0.], bias=[0., 3.]), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)).eval()
    images = torch.rand(3, 1, 6, 6)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'0': 1, '3': 2} and network_of(found).get_parameter('layer_3.weight').shape == (2, 4)
    assert difference(module, found, images) < 1e-6


def test_average_pooling_that_adds_zeros_keeps_a_constant_channel():
    module = nn.Sequential(
        convolution([1.], [0.], bias=[0., 3.]), nn.AvgPool2d(2, padding=1), nn.Flatten(), nn.Linear(18, 2)).eval()
    images = torch.rand(3, 1, 6, 6)
    found = compact(module, images, 'mine')
    assert sizes(found)['0'] == 2 and difference(module, found, images) < 1e-6


@torch.no_grad()
def test_a_scale_of_zero_makes_the_output_of_batch_norm_constant():
    norm = nn.BatchNorm2d(2)
    norm.weight.copy_(torch.tensor([1., 0.]))
    norm.bias.copy_(torch.tensor([0., 4.]))
    module = nn.Sequential(
        convolution([1.], [2.], bias=[0., 0.]), norm, nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)).eval()
    images = torch.rand(3, 1, 6, 6)
    found = compact(module, images, 'mine')
    assert sizes(found)['0'] == 1 and difference(module, found, images) < 1e-6
    assert network_of(found).get_buffer('layer_1.running_mean').shape == (1,)


class Shortcut(nn.Module):
    """relu(first), to which a branch is added, then read by the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.outer = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.output = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.first(images.flatten(1)))
        return self.output(features + self.outer(F.relu(self.inner(features))))


@torch.no_grad()
def test_a_channel_around_which_a_shortcut_leads_goes_only_if_no_summand_is_read():
    module = Shortcut().eval()
    module.inner.weight[:, 2] = 0  # the branch does not read channel 2, but the output does
    module.inner.weight[1] = 0
    images = torch.rand(5, 1, 2, 2)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'first': 3, 'inner': 2, 'outer': 3, 'output': 2}
    module.output.weight[:, 2] = 0
    found = compact(module, images, 'mine')
    assert sizes(found) == {'first': 2, 'inner': 2, 'outer': 2, 'output': 2}
    assert difference(module, found, images) < 1e-6


@torch.no_grad()
def test_a_filter_per_channel_passes_on_constants_and_is_removed_with_its_channel():
    depthwise = nn.Conv2d(3, 3, 3, groups=3)
    depthwise.weight[1] = 0
    module = nn.Sequential(nn.Conv2d(1, 3, 1), depthwise, nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Flatten()).eval()
    images = torch.rand(3, 1, 5, 5)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'0': 2, '1': 2, '3': 2} and network_of(found).get_submodule('layer_1').groups == 2
    assert difference(module, found, images) < 1e-6


class Whole(nn.Module):
    """A hidden layer, whose outputs a softmax mixes, and one behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(F.relu(self.second(self.first(images.flatten(1)).softmax(1))))


@torch.no_grad()
def test_channels_that_an_unknown_operation_mixes_stay_and_the_others_go():
    module = Whole().eval()
    module.first.weight[0] = module.second.weight[0] = 0
    module.second.weight[:, 1] = 0
    images = torch.rand(5, 1, 2, 2)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'first': 3, 'second': 2, 'output': 2} and found.kept_for == ['softmax']
    assert difference(module, found, images) < 1e-6


class Twice(nn.Module):
    """A layer that is called two times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.output = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.again(F.relu(self.again(self.first(images.flatten(1))))))


@torch.no_grad()
def test_a_layer_that_is_called_twice_stays_complete():
    module = Twice().eval()
    module.output.weight[:, 0] = 0
    module.again.weight[1] = 0
    images = torch.rand(5, 1, 2, 2)
    found = compact(module, images, 'mine')
    assert sizes(found) == {'first': 3, 'output': 2} and difference(module, found, images) < 1e-6


class Branching(nn.Module):
    """A network whose operations depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.output = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.first(images.flatten(1))
        return self.output(features if features.sum() > 0 else -features)


class Odd(nn.Module):
    """A network with a layer for which no code is written."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.strange, self.output = nn.Linear(4, 3), nn.RReLU(), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.strange(self.first(images.flatten(1))))


@pytest.mark.parametrize('module, words', [(Branching(), ['near its layer first', 'values']),
                                           (Odd(), ['its layer strange', "'RReLU'"])])
def test_a_network_that_cannot_be_compacted_is_refused_with_the_layer_and_the_other_formats(module, words):
    with pytest.raises(LthError) as raised:
        compact(module.eval(), torch.zeros(2, 1, 2, 2), 'mine')
    assert all(word in str(raised.value) for word in [*words, 'mine cannot be compacted', 'other formats'])


@settings(max_examples=60, deadline=None)
@given(widths=st.lists(st.integers(1, 6), min_size=1, max_size=3), density=st.floats(0.05, 0.9),
       activation=st.sampled_from([nn.ReLU, nn.GELU, nn.Tanh, nn.Identity]), seed=st.integers(0, 2 ** 20))
def test_random_masks_of_dense_layers_leave_the_function_and_no_idle_unit(widths, density, activation, seed):
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in zip([9, *widths], widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    module = prune_at_random(nn.Sequential(*layers, nn.Linear(widths[-1], 3)), density, seed)
    images = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    found = compact(module, images, 'mine')
    assert difference(module, found, images) < 1e-6
    assert compact(network_of(found), images, 'mine').left == found.left  # there is nothing more to remove


@settings(max_examples=60, deadline=None)
@given(channels=st.lists(st.integers(1, 5), min_size=1, max_size=3), density=st.floats(0.05, 0.9),
       padding=st.integers(0, 1), norm=st.booleans(), pool=st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]),
       seed=st.integers(0, 2 ** 20))
def test_random_masks_of_convolutions_leave_the_function(  # pylint: disable=too-many-arguments
        channels, density, padding, norm, pool, seed):
    layers: list[nn.Module] = []
    for inputs, outputs in zip([2, *channels], channels):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=padding))
        layers += [nn.BatchNorm2d(outputs)] * norm + [nn.ReLU()]
    sequence = nn.Sequential(*layers, pool(2), nn.Flatten(), nn.LazyLinear(3))
    images = torch.randn(4, 2, 9, 9, generator=torch.Generator().manual_seed(seed))
    sequence(images)
    module = prune_at_random(sequence, density, seed)
    assert difference(module, compact(module, images, 'mine'), images) < 1e-6


@pytest.mark.parametrize('density', [0.02, 0.004])
@pytest.mark.parametrize('name', ZOO)
def test_every_network_of_the_zoo_computes_the_same(name, density):
    size = SIDES.get(name, 8 if name in OPTIONS else 12)
    module = prune_at_random(MODELS.find(name)((3, size, size), 10, **OPTIONS.get(name, {})), density, seed=1)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    found = compact(module, images, name)
    assert difference(module, found, images) < 1e-6 and found.left < found.units


@pytest.mark.parametrize('norm', ['plain', 'affine'])
def test_shortcuts_without_weights_keep_their_padding_in_step_with_the_channels(norm):
    module = prune_at_random(MODELS.find('resnet20')((3, 12, 12), 10, shortcut='identity', norm=norm), 0.01, seed=3)
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    found = compact(module, images, 'resnet20')
    assert difference(module, found, images) < 1e-6 and found.left < found.units
