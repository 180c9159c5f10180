"""DenseNet-BC for CIFAR (Huang et al. 2017, section 3): each layer reads the channels of all layers before it.

Three dense blocks, with a 1×1 convolution to half of the channels and average pooling between them. A layer has a 1×1
convolution to four times its `growth` in channels, and a 3×3 convolution to `growth` channels, each after BatchNorm and
ReLU.
"""
from collections import OrderedDict
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lth.errors import LthError
from lth.models.registry import MODELS, Norm, Shape, batch_norm

NetworkDepth = Annotated[int, Field(ge=10, le=400, description='Number of layers, 6n + 4.')]
Growth = Annotated[int, Field(ge=1, le=256, description='Number of channels that each layer adds.')]
_BLOCKS = 3


@MODELS.register('densenet-100-12')
def densenet_100_12(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """DenseNet-BC with 100 layers and growth 12: 745,164 weights on CIFAR-10."""

    return _densenet(shape, classes, 100, 12, norm)


@MODELS.register('densenet')
def densenet(
        shape: Shape, classes: int, *, depth: NetworkDepth = 100, growth: Growth = 12,
        norm: Norm = 'affine') -> nn.Module:
    """DenseNet-BC of any depth 6n + 4 and any growth; by default densenet-100-12."""

    return _densenet(shape, classes, depth, growth, norm)


def _densenet(shape: Shape, classes: int, depth: int, growth: int, norm: Norm) -> nn.Module:
    """A convolution with 2 · growth channels, the blocks, BatchNorm, ReLU, global average pooling and a classifier."""

    layers_per_block, rest = divmod(depth - 4, 2 * _BLOCKS)
    if rest:
        raise LthError(f'densenet: model.depth={depth} is not 6n + 4: the three blocks have n layers of two '
                       f'convolutions. Use {depth - rest} or {depth - rest + 6}.')
    channels = 2 * growth
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Conv2d(shape[0], channels, 3, padding=1, bias=False))
    for block in range(1, _BLOCKS + 1):
        for number in range(1, layers_per_block + 1):
            layers[f'block{block}_{number}'] = _Layer(channels, growth, norm)
            channels += growth
        if block < _BLOCKS:
            layers[f'transition{block}'] = _transition(channels, norm)
            channels //= 2
    return nn.Sequential(layers | OrderedDict(
        norm=batch_norm(channels, norm), relu=nn.ReLU(), average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
        output=nn.Linear(channels, classes)))


def _transition(channels: int, norm: Norm) -> nn.Module:
    return nn.Sequential(batch_norm(channels, norm), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False),
                         nn.AvgPool2d(2))


class _Layer(nn.Module):
    """Adds `growth` channels to those that it reads."""

    def __init__(self, channels: int, growth: int, norm: Norm) -> None:
        super().__init__()
        self.main = nn.Sequential(
            batch_norm(channels, norm), nn.ReLU(), nn.Conv2d(channels, 4 * growth, 1, bias=False),
            batch_norm(4 * growth, norm), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels + growth, H, W)."""

        return torch.cat([images, self.main(images)], 1)
