"""Networks of timm: untrained, for any size and number of classes, and refused with the reason."""
import sys

import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import MODELS, settings_class
from lth.models.timm_networks import timm_model
from lth.models.trial import Use, try_network
from lth.registry import user_code

pytest.importorskip('timm')


def network(name: str, shape: tuple[int, int, int] = (3, 32, 32)) -> Network:
    """The network in 4 classes."""

    return Network.of(settings_class(name)(name=name), shape, 4)


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError('a download')
    monkeypatch.setattr('socket.socket.connect', refuse)


def test_a_vision_transformer_is_built_for_size_channels_and_classes_of_the_images():
    vit = network('timm:vit_tiny_patch16_224', (1, 32, 48))
    sizes = {slot.name: slot.shape for slot in vit.layout.prunable_slots}
    assert sizes['patch_embed.proj.weight'] == (192, 1, 16, 16)
    assert vit.layout.output_name == 'head.weight' and sizes['head.weight'] == (4, 192)
    # Patches, twelve blocks of 192 · (576 + 192 + 2 · 768) weights, classifier.
    assert vit.layout.weight_count == 192 * 256 + 12 * 192 * (576 + 192 + 2 * 768) + 4 * 192
    # The 2 · 3 patches of 16 × 16 pixels, and the class token, have positions.
    assert dict(vit.module.named_parameters())['pos_embed'].shape == (1, 7, 192)
    assert vit.weight_uses['blocks.0.attn.qkv.weight'] == 7


def test_a_convolutional_network_without_a_fixed_size_is_built_too():
    resnet = network('timm:resnet10t', (1, 32, 32))
    assert resnet.layout.output_name == 'fc.weight'
    assert resnet.logits(resnet.initial_weights(0), resnet.initial_buffers(), torch.rand(2, 1, 32, 32)).shape == (2, 4)


def test_weights_are_drawn_by_timm_for_each_seed():
    vit = network('timm:test_vit')
    assert vit.settings.initializer == 'own'
    first, again, other = (vit.layout.unpack(vit.initial_weights(seed)) for seed in (0, 0, 1))
    name = 'blocks.0.attn.qkv.weight'
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])


def test_it_is_tried_like_a_users_model_but_needs_no_trust():
    tried = try_network(network('timm:test_vit'), Use())
    assert tried.has_user_code and not user_code.names_code('timm:test_vit')
    assert not MODELS.is_builtin('timm:test_vit') and MODELS.code('timm:test_vit') == {}


@pytest.mark.parametrize(('name', 'says'), [
    ('vit_tiny_patch16_242', "timm has no network 'vit_tiny_patch16_242', did you mean 'vit_tiny_patch16_224'"),
    ('hf-hub:timm/resnet18', "timm has no network 'hf-hub:timm/resnet18'"),
    ('resnet18.a1_in1k', "timm:resnet18.a1_in1k: 'a1_in1k' names pretrained weights.*Use timm:resnet18")])
def test_other_names_and_those_of_pretrained_weights_are_refused(name, says):
    with pytest.raises(LthError, match=says):
        MODELS.find(f'timm:{name}')


@pytest.mark.parametrize(('name', 'shape', 'says'), [
    ('timm:vit_tiny_patch16_224', (1, 8, 8), '1 × 8 × 8 .*: its patches of 16 × 16 pixels do not cover them'),
    ('timm:vit_tiny_patch16_224', (3, 40, 32), 'its patches of 16 × 16 pixels do not cover them.*data.size=224'),
    ('timm:inception_v3', (3, 32, 32), r'Kernel size can.t be greater.*made for 299 × 299 pixels: --set data.size=299'),
    ('timm:efficientformer_l1', (3, 32, 32), r'RuntimeError: .*It was made for 224 × 224 pixels')])
def test_a_network_that_cannot_take_the_images_is_refused_with_the_reason_and_its_size(name, shape, says):
    with pytest.raises(LthError, match=f'{name} cannot take images .*{says}'):
        network(name, shape)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(LthError, match=r"need the package timm. Install it with: pip install 'lth\[timm\]'"):
        timm_model('resnet18')
