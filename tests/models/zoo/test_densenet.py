"""DenseNet-BC: counted by hand for 100 layers and growth 12, and every layer reads all channels before it."""
import pytest
import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class

# A layer that reads c channels: a 1×1 convolution to 48 channels, a 3×3 one to 12. A block has 16 layers, and the
# channels that they read grow by 12: from 24, 108 and 150 channels, after which it has 216, 300 and 342.
THREE = 48 * 12 * 9
BLOCKS = [48 * sum(start + 12 * number for number in range(16)) + 16 * THREE for start in (24, 108, 150)]
TRANSITIONS = [216 * 108, 300 * 150]


def network(name: str = 'densenet-100-12', shape: tuple[int, int, int] = (3, 32, 32), **options: object) -> Network:
    """The network with these options, in 10 classes."""

    return Network.of(settings_class(name)(name=name, **options), shape, 10)


def test_weights_and_parameters_are_those_of_the_paper():
    layout = network().layout
    weights = 3 * 24 * 9 + sum(BLOCKS) + sum(TRANSITIONS) + 342 * 10
    assert layout.weight_count == layout.prunable_count == weights == 745_164
    # BatchNorm before each convolution but the first, and before the pooling.
    read = sum(start + 12 * number + 48 for start in (24, 108, 150) for number in range(16)) + 216 + 300 + 342
    assert layout.size == weights + 2 * read + 10 == 769_162  # 0.8M in table 2 of Huang et al. 2017


def test_multiply_adds_are_counted_at_the_size_before_each_pooling():
    counted = network()
    sizes = {slot.name: slot.size for slot in counted.layout.slots}
    total = sum((uses or 0) * sizes[name] for name, uses in counted.weight_uses.items())
    at_32 = (3 * 24 * 9 + BLOCKS[0] + TRANSITIONS[0]) * 32 ** 2
    assert total == at_32 + (BLOCKS[1] + TRANSITIONS[1]) * 16 ** 2 + BLOCKS[2] * 8 ** 2 + 3420 == 287_929_692


def test_densenet_is_densenet_100_12_by_default_and_has_any_depth_and_growth():
    shapes = [[slot.shape for slot in network(name).layout.slots] for name in ('densenet', 'densenet-100-12')]
    assert shapes[0] == shapes[1]
    small = network('densenet', (1, 8, 8), depth=10, growth=4)
    # A layer in each block: 8 channels, then 12 to 6, 10 to 5, 9 to the classifier.
    layers = sum(channels * 16 + 16 * 4 * 9 for channels in (8, 6, 5))
    assert small.layout.weight_count == 8 * 9 + layers + 12 * 6 + 10 * 5 + 9 * 10


def test_a_depth_that_the_blocks_cannot_have_is_refused_with_the_next_ones():
    with pytest.raises(LthError, match=r'model.depth=99 is not 6n \+ 4.*Use 94 or 100'):
        network('densenet', depth=99)


def test_a_layer_adds_channels_and_keeps_those_that_it_reads():
    layer = network('densenet', (1, 8, 8), depth=10, growth=4).module[1]
    features = torch.randn(2, 8, 4, 4)
    assert layer(features).shape == (2, 12, 4, 4) and torch.equal(layer(features)[:, :8], features)
