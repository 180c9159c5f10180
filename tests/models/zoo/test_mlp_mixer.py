"""mlp-mixer: counted by hand, and mixing patches and channels in turns."""
import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class

PATCHES, WIDTH = 64, 128
# Of a block: two dense layers across 64 patches with 64 hidden units, two across 128 channels with 512.
ACROSS_PATCHES, ACROSS_CHANNELS = 2 * PATCHES * 64, 2 * WIDTH * 512


def network(shape: tuple[int, int, int] = (3, 32, 32), **options: object) -> Network:
    """The network with these options, in 10 classes."""

    return Network.of(settings_class('mlp-mixer')(name='mlp-mixer', **options), shape, 10)


def test_weights_and_parameters_are_counted_by_hand():
    layout = network().layout
    weights = 3 * 16 * WIDTH + 8 * (ACROSS_PATCHES + ACROSS_CHANNELS) + WIDTH * 10
    biases = WIDTH + 8 * (64 + PATCHES + 512 + WIDTH) + 10
    norms = (2 * 8 + 1) * 2 * WIDTH
    assert layout.weight_count == layout.prunable_count == weights == 1_121_536
    assert layout.size == weights + biases + norms == 1_132_170


def test_multiply_adds_are_those_of_each_channel_across_patches_and_of_each_patch_across_channels():
    counted = network()
    sizes = {slot.name: slot.size for slot in counted.layout.slots}
    total = sum((uses or 0) * sizes[name] for name, uses in counted.weight_uses.items())
    blocks = 8 * (ACROSS_PATCHES * WIDTH + ACROSS_CHANNELS * PATCHES)
    assert total == 3 * 16 * WIDTH * PATCHES + blocks + WIDTH * 10 == 75_891_968


def test_a_block_mixes_patches_within_a_channel_then_channels_within_a_patch():
    block = network((1, 8, 8), depth=1, width=6).module.blocks[0]
    tokens = torch.randn(1, 4, 6)
    changed = tokens.clone()
    changed[0, 1] += torch.randn(6)
    patches = block.across_patches(tokens.transpose(1, 2)) - block.across_patches(changed.transpose(1, 2))
    assert patches.shape == (1, 6, 4) and patches.ne(0).all()
    channels = (block.across_channels(tokens) - block.across_channels(changed)).ne(0).any(-1)[0]
    assert channels.tolist() == [False, True, False, False]


def test_patches_that_do_not_cover_the_image_are_refused():
    with pytest.raises(LthError, match=r'mlp-mixer: patches of 4 × 4 pixels do not cover images of 30 × 30'):
        network((3, 30, 30))
