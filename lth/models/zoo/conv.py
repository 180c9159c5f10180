"""Conv-n of Frankle & Carbin 2019 (section 3): pairs of 3×3 convolutions, dense 256, 256, classes. No BatchNorm.

`dropout` is the rate of a dropout layer after each hidden dense layer; the paper gives the rate, but not the position.
"""
import itertools
from collections import OrderedDict
from typing import Annotated

from pydantic import Field
from torch import nn

from lth.models.registry import MODELS, Shape

Dropout = Annotated[float, Field(ge=0, lt=1, description='Rate of dropout after each hidden dense layer.')]


@MODELS.register('conv-2')
def conv_2(shape: Shape, classes: int, *, dropout: Dropout = 0.) -> nn.Module:
    """Two convolutions with 64 channels: 4,300,992 weights on CIFAR-10."""

    return _conv(shape, classes, dropout, pairs=(64,))


@MODELS.register('conv-4')
def conv_4(shape: Shape, classes: int, *, dropout: Dropout = 0.) -> nn.Module:
    """Pairs of convolutions with 64 and 128 channels: 2,425,024 weights on CIFAR-10."""

    return _conv(shape, classes, dropout, pairs=(64, 128))


@MODELS.register('conv-6')
def conv_6(shape: Shape, classes: int, *, dropout: Dropout = 0.) -> nn.Module:
    """Pairs of convolutions with 64, 128 and 256 channels: 2,261,184 weights on CIFAR-10."""

    return _conv(shape, classes, dropout, pairs=(64, 128, 256))


def _conv(shape: Shape, classes: int, dropout: float, *, pairs: tuple[int, ...]) -> nn.Module:
    channels, height, width = shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for pair, (inputs, outputs) in enumerate(itertools.pairwise((channels, *pairs))):
        for number, in_channels in ((2 * pair + 1, inputs), (2 * pair + 2, outputs)):
            layers[f'conv{number}'] = nn.Conv2d(in_channels, outputs, 3, padding=1)
            layers[f'relu{number}'] = nn.ReLU()
        layers[f'pool{pair + 1}'] = nn.MaxPool2d(2)
        height, width = height // 2, width // 2
    layers['flatten'] = nn.Flatten()
    inputs = pairs[-1] * height * width
    for number in (1, 2):
        layers[f'dense{number}'], layers[f'relu_dense{number}'] = nn.Linear(inputs, 256), nn.ReLU()
        if dropout:
            layers[f'dropout{number}'] = nn.Dropout(dropout)
        inputs = 256
    return nn.Sequential(layers | OrderedDict(output=nn.Linear(inputs, classes)))
