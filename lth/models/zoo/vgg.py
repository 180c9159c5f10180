"""VGG for CIFAR (Simonyan & Zisserman 2015) as in Frankle & Carbin 2019: 3×3 convolutions and one dense layer."""
from collections import OrderedDict

from torch import nn

from lth.models.registry import MODELS, Norm, Shape, batch_norm

_Stages = tuple[tuple[int, ...], ...]


@MODELS.register('vgg11')
def vgg11(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """Eight convolutions: 9,222,848 weights on CIFAR-10."""

    return _vgg(shape, classes, norm, ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2))


@MODELS.register('vgg13')
def vgg13(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """Ten convolutions: 9,407,168 weights on CIFAR-10."""

    return _vgg(shape, classes, norm, ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2))


@MODELS.register('vgg16')
def vgg16(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """Thirteen convolutions: 14,715,584 weights on CIFAR-10."""

    return _vgg(shape, classes, norm, ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3))


@MODELS.register('vgg16-max-pool')
def vgg16_max_pool(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """VGG-16 with max-pooling after the last stage too, as in Rare Gems: 14,715,584 weights on CIFAR-10. What is larger
    than one pixel afterwards, as for images of 64 pixels, is averaged.
    """

    stages = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
    return _vgg(shape, classes, norm, stages, last_pool=nn.MaxPool2d(2))


@MODELS.register('vgg19')
def vgg19(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """Sixteen convolutions: 20,024,000 weights on CIFAR-10."""

    return _vgg(shape, classes, norm, ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4))


def _vgg(
        shape: Shape, classes: int, norm: Norm, stages: _Stages, last_pool: nn.Module | None = None) -> nn.Module:
    """The stages with 2×2 max-pooling between them, `last_pool` if there is one, global average pooling and a dense
    layer.
    """

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs, number = shape[0], 0
    for stage, widths in enumerate(stages):
        if stage:
            layers[f'pool{stage}'] = nn.MaxPool2d(2)
        for channels in widths:
            number += 1
            layers[f'conv{number}'] = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
            layers[f'norm{number}'] = batch_norm(channels, norm)
            layers[f'relu{number}'] = nn.ReLU()
            inputs = channels
    if last_pool is not None:
        layers[f'pool{len(stages)}'] = last_pool
    return nn.Sequential(layers | OrderedDict(
        average=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(inputs, classes)))
