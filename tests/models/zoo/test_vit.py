"""vit-tiny: counted by hand, compared with the encoder of torch, and trained."""
from dataclasses import replace

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.training.engines.chains import supported_chain
from lth.training.loop import train
from tests.conftest import SGD, full_mask, initial_state, make_task


def network(shape: tuple[int, int, int] = (3, 32, 32), **options: object) -> Network:
    """The network with these options, in 10 classes."""

    return Network.of(settings_class('vit-tiny')(name='vit-tiny', **options), shape, 10)


# Of a block: queries, keys and values; the projection of heads; two dense layers.
QKV, PROJECT, DENSE = 192 * 576, 192 * 192, 2 * 192 * 768
TOKENS = 8 * 8 + 1


def test_weights_are_those_of_patches_blocks_and_classifier():
    layout = network().layout
    assert layout.weight_count == 3 * 16 * 192 + 12 * (QKV + PROJECT + DENSE) + 1920 == 5_319_552
    assert layout.prunable_count == layout.weight_count


def test_parameters_include_token_positions_normalization_and_biases():
    token, positions, norms = 192, TOKENS * 192, (2 * 12 + 1) * 2 * 192
    biases = 192 + 12 * (576 + 192 + 768 + 192) + 10
    assert network().layout.size == 5_319_552 + token + positions + norms + biases == 5_362_762


def test_multiply_adds_are_those_of_each_token_without_the_products_of_attention():
    counted = network()
    sizes = {slot.name: slot.size for slot in counted.layout.slots}
    total = sum((uses or 0) * sizes[name] for name, uses in counted.weight_uses.items())
    assert total == 3 * 16 * 192 * 64 + 12 * (QKV + PROJECT + DENSE) * TOKENS + 1920 == 345_638_784


def test_the_fused_projection_of_queries_keys_and_values_is_one_prunable_tensor():
    slots = {slot.name: slot for slot in network().layout.prunable_slots}
    assert slots['blocks.0.attention.qkv.weight'].shape == (576, 192)
    assert network().layout.output_name == 'classifier.weight'


def test_a_block_computes_what_the_encoder_layer_of_torch_computes():
    block = network((1, 8, 8), width=16, heads=2, depth=1).module.blocks[0].train()
    layer = nn.TransformerEncoderLayer(16, 2, 64, 0., 'gelu', 1e-6, batch_first=True, norm_first=True)
    names = {'norm1': 'norm1', 'norm2': 'norm2', 'linear1': 'dense.0', 'linear2': 'dense.2',
             'self_attn.out_proj': 'attention.project', 'self_attn.in_proj': 'attention.qkv'}
    parameters = dict(block.named_parameters())
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            place, kind = name.rsplit('_' if 'in_proj' in name else '.', 1)
            parameter.copy_(parameters[f'{names[place]}.{kind}'] + 0.1)
            parameters[f'{names[place]}.{kind}'].copy_(parameter)
    tokens = torch.randn(3, 5, 16)
    assert torch.allclose(block(tokens), layer(tokens), atol=1e-5)


def test_tokens_start_at_0_and_positions_depend_on_the_seed():
    vit = network((1, 8, 8), depth=1)
    first, again, other = (vit.layout.unpack(vit.initial_weights(seed)) for seed in (0, 0, 1))
    assert not first['token'].any()
    assert torch.equal(first['positions'], again['positions'])
    assert not torch.equal(first['positions'], other['positions'])
    assert first['positions'].std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(('options', 'says'), [
    ({'patch': 3}, r'vit-tiny: patches of 3 × 3 pixels do not cover images of 32 × 32 .*data.size=30'),
    ({'heads': 5}, r'model.width=192 cannot be divided among model.heads=5')])
def test_sizes_that_do_not_fit_are_refused_with_the_setting(options, says):
    with pytest.raises(LthError, match=says):
        network(**options)


def test_images_that_are_no_square_are_cut_into_patches_row_after_row():
    patches = network((1, 8, 12), depth=1).module.patches
    images = torch.zeros(1, 1, 8, 12)
    images[0, 0, 4:, :4] = 1
    changed = (patches(images) != patches(torch.zeros_like(images))).any(-1)[0]
    assert patches.count == 6 and changed.nonzero().flatten().tolist() == [3]


def test_the_sparse_engine_passes_it_to_the_eager_one():
    assert supported_chain(network((1, 8, 8), depth=1)) is None


@pytest.mark.filterwarnings('ignore:There is a performance drop')
def test_two_seeds_train_together_as_each_alone():
    vit = Network.of(settings_class('vit-tiny')(name='vit-tiny', depth=2, width=16, heads=2), (1, 8, 8), 4)
    ends = []
    for seeds in ((0, 1), (1,)):
        # Keys' biases have no gradient but rounding, which Adam would scale.
        task = replace(make_task(seeds=seeds, optimizer=SGD), network=vit)
        ends.append(train(task, initial_state(task), until=10, trainable=full_mask(task)).weights[-1])
    assert torch.allclose(*ends, atol=1e-4) and not torch.allclose(ends[0], vit.initial_weights(1), atol=1e-3)
