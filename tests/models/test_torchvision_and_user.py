"""Models that are not ours: torchvision's and the user's."""
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
        found = self.features(images).mean((2, 3)) + self.token
        return self.classifier(self.second(self.first(found).relu())[..., None, None]).flatten(1)

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
    found = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Linear(8, classes))
    return found.requires_grad_(False)

def normed(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(192, classes)))

def typed(shape, classes, *, how: Odd = None):
    return fixed(shape, classes)

class Counting(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.scale, self.layer = nn.Parameter(torch.ones(())), nn.Linear(192, classes)
        self.register_buffer('seen', torch.zeros(1))
        self.register_buffer('drawn', torch.randn(3))

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
def test_a_function_of_the_users_own_is_a_model_with_its_own_options(mine, spelling):
    assert network(spelling).layout.weight_count < network(spelling, width=16).layout.weight_count


def test_dilated_grouped_and_1x1_convolutions_classifiers_and_shared_layers_are_found(mine):
    layout = network(f'{mine}:odd').layout
    sizes = {slot.name: slot.size for slot in layout.slots if slot.prunable}
    assert sizes == {'features.0.weight': 3 * 8 * 9, 'features.1.weight': 8 * 9, 'features.2.weight': 64,
                     'first.weight': 64, 'classifier.weight': 32}


def test_a_layer_under_two_names_trains_as_one(mine):
    found = network(f'{mine}:odd')
    weights = found.fresh(0)
    module = found.bind(weights, {})
    assert module.first.weight is module.second.weight
    assert module.first.weight.data_ptr() == found.layout.unpack(weights)['first.weight'].data_ptr()


def test_a_foreign_model_is_drawn_by_its_own_code_and_the_seed_decides_all_of_it(mine):
    found = network(f'{mine}:odd')
    torch.manual_seed(1)
    one = found.layout.unpack(found.fresh(0))
    torch.manual_seed(2)
    again, other = (found.layout.unpack(network(f'{mine}:odd').fresh(seed)) for seed in (0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert one['first.bias'].abs().min() > 0
    drawn = network(f'{mine}:odd', initializer='glorot-normal')
    assert drawn.layout.unpack(drawn.fresh(0))['first.bias'].abs().sum() == 0


def test_a_number_without_dimensions_trains_and_buffers_are_drawn_by_the_seed(mine):
    found = network(f'{mine}:Counted')
    assert found.layout.unpack(found.fresh(0))['scale'].shape == ()
    assert not torch.equal(found.initial_buffers(0)['drawn'], found.initial_buffers(1)['drawn'])
    assert torch.equal(found.initial_buffers(1)['drawn'], found.initial_buffers(1)['drawn'])


@pytest.mark.parametrize(('function', 'says'), [
    ('od', r"has no function 'od', did you mean 'odd'"),
    ('two_heads', r'gives shape \(2, 8\) for 2 pictures, expected logits of shape \(2, 4\)'),
    ('no_layers', 'no convolution and no dense layer, so there is nothing to prune'),
    ('not_a_module', 'returns int, expected a torch.nn.Module'),
    ('fixed', r"does not fit pictures of shape \(3, 8, 8\): its layer '1' takes 784 features, and was given"),
    ('lazy', '1.weight has no shape before pictures come'), ('frozen', r'1.weight does not train .requires_grad=False'),
    ('normed', 'the weight of 1 is computed from others, as by weight_norm'),
    ('typed', 'an option has a type that no recipe can hold'), ('Counting', 'its buffer seen is replaced in forward'),
    ('named', "its argument 'name' is a setting of every model")])
def test_what_is_wrong_with_a_model_is_told(mine, function, says):
    with pytest.raises(LthError, match=says):
        network(f'{mine}:{function}')


@pytest.mark.parametrize(('name', 'says'), [
    ('nowhere/mine.py:odd', 'nowhere/mine.py: no such file'),
    ('no.such.module:odd', "The module 'no.such.module' cannot be imported"),
    ('torchvision:resnet19', "torchvision has no classification model 'resnet19', did you mean 'resnet1"),
    ('torchvision:fcn_resnet50', 'torchvision has no classification model')])
def test_a_name_that_leads_nowhere_is_told(name, says):
    with pytest.raises(LthError, match=says):
        MODELS.find(name)


def test_a_file_that_python_cannot_read_is_told_with_its_line(tmp_path, monkeypatch):
    (tmp_path / 'bad.py').write_text('def f(:\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LthError, match=r'bad\.py cannot be imported: invalid syntax \(bad\.py, line 1\)'):
        MODELS.find('bad.py:f')


def test_a_torchvision_model_takes_its_classes_from_the_data(mine):
    found = network('torchvision:mobilenet_v3_small', (3, 32, 32))
    assert found.logits(found.fresh(0), found.initial_buffers(), torch.rand(2, 3, 32, 32)).shape == (2, 4)
    assert found.stochastic  # it has dropout
    assert isinstance(found.module.classifier[-1], nn.Linear)


def test_grey_pictures_where_colour_is_needed_are_refused_with_both_shapes_and_the_way_out():
    says = (r"torchvision:resnet18 does not fit pictures of shape \(1, 28, 28\): its layer 'conv1' takes 3 channels, "
            r'and was given shape \(2, 1, 28, 28\).*--set data.channels=3')
    with pytest.raises(LthError, match=says):
        network('torchvision:resnet18', (1, 28, 28))


def test_models_with_auxiliary_outputs_are_built_without_them():
    assert network('torchvision:googlenet', (3, 64, 64)).layout.weight_count > 5_000_000
