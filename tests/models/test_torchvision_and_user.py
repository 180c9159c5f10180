"""Models of torchvision and of users."""
import sys
import textwrap

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import MODELS, settings_class

MINE = '''
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, shape, classes, width):
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.features = nn.Sequential(
            nn.Conv2d(shape[0], width, 3, padding=2, dilation=2), nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.Conv2d(width, width, 1))
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, images):
        features = self.features(images).mean((2, 3)) + self.token
        return self.classifier(self.second(self.first(features).relu())[..., None, None]).flatten(1)

def odd(shape, classes, *, width: int = 8):
    return Odd(shape, classes, width)

def two_heads(shape, classes):
    return torch.nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], 2 * classes))

def no_layers(shape, classes):
    return nn.Flatten()

def not_a_module(shape, classes):
    return 3

def fixed(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))

def named(shape, classes, *, name='x'):
    return fixed(shape, classes)

def lazy(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

def frozen(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Linear(8, classes)).requires_grad_(False)

def normed(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, classes)))

def typed(shape, classes, *, layer: Odd = None):
    return fixed(shape, classes)

class Counting(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.scale, self.layer = nn.Parameter(torch.ones(())), nn.Linear(192, classes)
        self.register_buffer('seen', torch.zeros(1))
        self.register_buffer('random', torch.randn(3))

    def forward(self, images):
        if self.training:
            self.seen = self.seen + len(images)
        return self.scale * self.layer(images.flatten(1))

class Counted(Counting):
    def forward(self, images):
        if self.training:
            self.seen += len(images)
        return self.scale * self.layer(images.flatten(1))
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / 'networks').mkdir()
    (tmp_path / 'networks' / 'mine.py').write_text(textwrap.dedent(MINE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield 'networks/mine.py'
    sys.modules.pop('networks.mine', None)
    sys.modules.pop('networks', None)


def network(name: str, shape: tuple[int, int, int] = (3, 8, 8), **options: object) -> Network:
    return Network.of(settings_class(name)(name=name, **options), shape, 4)


@pytest.mark.parametrize('spelling', ['networks/mine.py:odd', 'networks.mine:odd'])
def test_a_users_function_is_a_model_with_its_options(mine, spelling):
    assert network(spelling).layout.weight_count < network(spelling, width=16).layout.weight_count


def test_dilated_grouped_and_1x1_convolutions_classifiers_and_shared_layers_are_found(mine):
    layout = network(f'{mine}:odd').layout
    sizes = {slot.name: slot.size for slot in layout.slots if slot.prunable}
    assert sizes == {'features.0.weight': 3 * 8 * 9, 'features.1.weight': 8 * 9, 'features.2.weight': 64,
                     'first.weight': 64, 'classifier.weight': 32}


def test_a_layer_with_two_names_has_one_parameter(mine):
    odd = network(f'{mine}:odd')
    weights = odd.initial_weights(0)
    module = odd.bind(weights, {})
    assert module.first.weight is module.second.weight
    assert module.first.weight.data_ptr() == odd.layout.unpack(weights)['first.weight'].data_ptr()


def test_a_users_model_is_initialized_by_its_own_code_with_random_numbers_from_the_seed(mine):
    odd = network(f'{mine}:odd')
    torch.manual_seed(1)
    weights = odd.layout.unpack(odd.initial_weights(0))
    torch.manual_seed(2)
    repeated, other = (odd.layout.unpack(network(f'{mine}:odd').initial_weights(seed)) for seed in (0, 1))
    assert all(torch.equal(weights[name], repeated[name]) for name in weights)
    assert not any(torch.equal(weights[name], other[name]) for name in weights)
    assert weights['first.bias'].abs().min() > 0
    glorot = network(f'{mine}:odd', initializer='glorot-normal')
    assert glorot.layout.unpack(glorot.initial_weights(0))['first.bias'].abs().sum() == 0


def test_parameters_may_be_scalars_and_initial_buffers_depend_on_the_seed(mine):
    counted = network(f'{mine}:Counted')
    assert counted.layout.unpack(counted.initial_weights(0))['scale'].shape == ()
    assert not torch.equal(counted.initial_buffers(0)['random'], counted.initial_buffers(1)['random'])
    assert torch.equal(counted.initial_buffers(1)['random'], counted.initial_buffers(1)['random'])


@pytest.mark.parametrize(('function', 'says'), [
    ('od', r"has no function 'od', did you mean 'odd'"),
    ('two_heads', r'returns shape \(2, 8\) for 2 images, but logits of shape \(2, 4\) are expected'),
    ('no_layers', 'no convolution and no dense layer, so there is nothing to prune'),
    ('not_a_module', 'returns int, expected a torch.nn.Module'),
    ('fixed', r"does not fit images of shape \(3, 8, 8\): its layer '1' needs 784 features, but its input has"),
    ('lazy', '1.weight has no shape before the first forward pass'),
    ('frozen', r'1.weight is not trained .requires_grad=False'),
    ('normed', 'the weight of 1 is computed from other parameters, by weight_norm'),
    ('typed', 'an argument has a type that recipes cannot store'), ('Counting', 'forward replaces its buffer seen'),
    ('named', "its argument 'name' has the same name as a setting of every model")])
def test_a_model_that_cannot_be_pruned_or_does_not_fit_the_images_is_an_error(mine, function, says):
    with pytest.raises(LthError, match=says):
        network(f'{mine}:{function}')


@pytest.mark.parametrize(('name', 'says'), [
    ('nowhere/mine.py:odd', 'nowhere/mine.py: no such file'),
    ('no.such.module:odd', "The module 'no.such.module' cannot be imported"),
    ('torchvision:resnet19', "torchvision has no classification model 'resnet19', did you mean 'resnet1"),
    ('torchvision:fcn_resnet50', 'torchvision has no classification model')])
def test_a_model_name_that_cannot_be_found_is_an_error(name, says):
    with pytest.raises(LthError, match=says):
        MODELS.find(name)


def test_a_syntax_error_in_a_users_file_is_reported_with_its_line(tmp_path, monkeypatch):
    (tmp_path / 'bad.py').write_text('def f(:\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LthError, match=r'bad\.py cannot be imported: invalid syntax \(bad\.py, line 1\)'):
        MODELS.find('bad.py:f')


def test_a_torchvision_model_has_the_number_of_classes_of_the_data(mine):
    mobilenet = network('torchvision:mobilenet_v3_small', (3, 32, 32))
    weights, buffers = mobilenet.initial_weights(0), mobilenet.initial_buffers()
    assert mobilenet.logits(weights, buffers, torch.rand(2, 3, 32, 32)).shape == (2, 4)
    assert mobilenet.stochastic  # it has dropout
    assert isinstance(mobilenet.module.classifier[-1], nn.Linear)


def test_gray_images_for_a_model_of_color_images_are_an_error_that_names_data_channels():
    says = (r"torchvision:resnet18 does not fit images of shape \(1, 28, 28\): its layer 'conv1' needs 3 channels, "
            r'but its input has shape \(2, 1, 28, 28\).*--set data.channels=3')
    with pytest.raises(LthError, match=says):
        network('torchvision:resnet18', (1, 28, 28))


def test_models_with_auxiliary_outputs_are_built_without_them():
    assert network('torchvision:googlenet', (3, 64, 64)).layout.weight_count > 5_000_000
