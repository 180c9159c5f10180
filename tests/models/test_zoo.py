"""The networks of the zoo have the sizes and the structure of the papers."""
import pytest
import torch
from pydantic import ValidationError

from lth.models.network import Network
from lth.models.registry import MODELS, settings_class


def network(name: str, shape: tuple[int, int, int], **options: str | float) -> Network:
    return Network.of(settings_class(name)(name=name, **options), shape, 10)


@pytest.mark.parametrize(('name', 'shape', 'options', 'weights'), [
    ('lenet-300-100', (1, 28, 28), {}, 266_200),
    ('conv-2', (3, 32, 32), {}, 4_300_992),
    ('resnet20', (3, 32, 32), {'shortcut': 'projection'}, 270_896),
    ('resnet20', (3, 32, 32), {'shortcut': 'identity'}, 268_336),
    ('lenet-5', (1, 28, 28), {}, 44_190),
    ('conv-4', (3, 32, 32), {}, 2_425_024),
    ('conv-6', (3, 32, 32), {}, 2_261_184),
    ('vgg11', (3, 32, 32), {}, 9_217_728 + 5_120),
    ('vgg13', (3, 32, 32), {}, 9_402_048 + 5_120),
    ('vgg16', (3, 32, 32), {}, 14_715_584),
    ('vgg16-max-pool', (3, 32, 32), {}, 14_715_584),
    ('vgg19', (3, 32, 32), {}, 20_018_880 + 5_120),
    ('resnet18', (3, 32, 32), {}, 11_164_352),
    ('resnet32', (3, 32, 32), {}, 464_432),
    ('resnet56', (3, 32, 32), {'shortcut': 'identity'}, 848_944),
    ('resnet110', (3, 32, 32), {'shortcut': 'identity'}, 1_719_856),
    ('wide-resnet28-2', (3, 32, 32), {}, 1_463_984),
    ('mobilenet-v2', (3, 32, 32), {}, 2_261_824)])
def test_the_number_of_weights_equals_that_of_the_paper(name, shape, options, weights):
    assert network(name, shape, **options).layout.weight_count == weights


def test_resnet50_has_the_same_parameter_shapes_as_torchvisions():
    layouts = [Network.of(settings_class(name)(name=name), (3, 64, 64), 1000).layout
               for name in ('resnet50', 'torchvision:resnet50')]
    assert [layout.weight_count for layout in layouts] == [25_502_912] * 2
    zoo, torchvision = (sorted(slot.shape for slot in layout.slots) for layout in layouts)
    assert zoo == torchvision


def test_resnet18_in_its_imagenet_form_has_the_parameters_of_torchvisions_and_computes_the_same():
    zoo, torchvision = (Network.of(settings_class(name)(name=name), (3, 64, 64), 200)
                        for name in ('resnet18-imagenet', 'torchvision:resnet18'))
    weights = torchvision.layout.unpack(torchvision.initial_weights(0))
    module, reference = zoo.module.eval(), torchvision.module.eval()
    reference.load_state_dict(weights, strict=False)
    # Both declare their layers in the same order.
    for ours, theirs in zip(module.parameters(), reference.parameters(), strict=True):
        ours.data = theirs.data
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(module(images), reference(images), atol=1e-5)


def test_vgg16_with_max_pooling_pools_five_times():
    images = torch.rand(2, 3, 32, 32)
    average, pooled = (network(name, (3, 32, 32), initializer='kaiming-normal') for name in ('vgg16', 'vgg16-max-pool'))
    weights = average.initial_weights(0)
    assert torch.equal(weights, pooled.initial_weights(0))
    for module in (average.module.eval(), pooled.module.eval()):
        module.load_state_dict(average.layout.unpack(weights), strict=False)
    features = average.module[:-3](images)
    assert features.shape == (2, 512, 2, 2)
    expected = average.module.output(features.amax((-2, -1)))
    assert torch.allclose(pooled.module(images), expected, rtol=1e-4)
    assert not torch.allclose(average.module(images), expected, rtol=1e-2)


@pytest.mark.parametrize('initializer', ['signed-constant', 'kaiming-normal'])
def test_the_gain_multiplies_the_weights_that_the_initializer_draws(initializer):
    plain, scaled = (network('lenet-300-100', (1, 28, 28), initializer=initializer, initializer_gain=gain)
                     for gain in (1., 2 ** 0.5))
    assert torch.allclose(scaled.initial_weights(0), plain.initial_weights(0) * 2 ** 0.5)
    with pytest.raises(ValidationError, match='no effect on the initializer own'):
        settings_class('lenet-300-100')(name='lenet-300-100', initializer='own', initializer_gain=2.)


def test_dropout_of_conv_2_follows_its_hidden_dense_layers_and_does_not_change_the_weights():
    plain, dropout = network('conv-2', (3, 32, 32)), network('conv-2', (3, 32, 32), dropout=0.5)
    names = [name for name, _ in dropout.module.named_children()]
    assert [names[names.index(name) - 1] for name in names if 'dropout' in name] == ['relu_dense1', 'relu_dense2']
    assert torch.equal(plain.initial_weights(0), dropout.initial_weights(0))
    assert dropout.stochastic and not plain.stochastic


def test_the_convolutions_of_conv_2_have_38592_weights():
    layout = network('conv-2', (3, 32, 32)).layout
    assert sum(slot.size for slot in layout.slots if slot.kind == 'convolution') == 38_592


def test_shortcuts_and_output_layer_of_resnet20_have_the_sizes_of_the_paper():
    sizes = {slot.name: slot.size for slot in network('resnet20', (3, 32, 32)).layout.slots}
    assert sum(size for name, size in sizes.items() if 'shortcut' in name and name.endswith('0.weight')) == 2_560
    assert sizes['classifier.weight'] == 640


# In the default suite, these do not see gray images: a network with fewer layers of the same kinds does.
DEEPER = {'conv-4', 'conv-6', 'densenet-100-12', 'resnet32', 'resnet44', 'resnet56', 'resnet110', 'vgg13', 'vgg16',
          'vgg19', 'wide-resnet28-10'}


@pytest.mark.parametrize(('name', 'shape'), [
    *[(name, (3, 32, 32)) for name in MODELS.names()],
    *[pytest.param(name, (1, 32, 32), marks=pytest.mark.slow if name in DEEPER else ()) for name in MODELS.names()]])
def test_every_model_accepts_small_images_in_gray_and_in_color(name, shape):
    model = network(name, shape)
    assert model.logits(model.initial_weights(0), model.initial_buffers(), torch.rand(2, *shape)).shape == (2, 10)


def test_identity_shortcuts_have_no_weights_and_pass_every_second_pixel():
    module = network('resnet20', (3, 32, 32), shortcut='identity').module
    images = torch.rand(1, 16, 4, 4)
    output = module.blocks[3].shortcut(images)
    assert output.shape == (1, 32, 2, 2)
    assert torch.equal(output[:, 8:24], images[..., ::2, ::2]) and output[:, :8].sum() == output[:, 24:].sum() == 0
