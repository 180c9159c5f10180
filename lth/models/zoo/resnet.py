"""Residual networks of basic blocks for CIFAR: with 16, 32, 64 channels (He et al. 2016, section 4.2), and ResNet-18.

To add a depth or width, write a function like these below.
"""
from collections.abc import Sequence
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lth.models.registry import MODELS, Norm, Shape, batch_norm

Shortcut = Annotated[Literal['projection', 'identity'], Field(
    description='1×1 convolutions, or no parameters and no bias in the classifier.')]
_NARROW = (16, 32, 64)


@MODELS.register('resnet20')
def resnet20(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """Three blocks per stage. `projection`: 1×1 convolutions where the size changes, 270,896 weights on CIFAR-10, the
    "ResNet-18" of Frankle & Carbin 2019. `identity`: parameter-free shortcuts and no bias in the classifier, 268,336
    weights, as in Rare Gems.
    """

    return _ResNet(shape, classes, _NARROW, blocks=3, shortcut=shortcut, norm=norm)


@MODELS.register('resnet32')
def resnet32(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """Five blocks per stage: 464,432 weights on CIFAR-10 with projection shortcuts."""

    return _ResNet(shape, classes, _NARROW, blocks=5, shortcut=shortcut, norm=norm)


@MODELS.register('resnet44')
def resnet44(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """Seven blocks per stage: 657,968 weights on CIFAR-10 with projection shortcuts."""

    return _ResNet(shape, classes, _NARROW, blocks=7, shortcut=shortcut, norm=norm)


@MODELS.register('resnet56')
def resnet56(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """Nine blocks per stage: 851,504 weights on CIFAR-10 with projection shortcuts."""

    return _ResNet(shape, classes, _NARROW, blocks=9, shortcut=shortcut, norm=norm)


@MODELS.register('resnet110')
def resnet110(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """Eighteen blocks per stage: 1,722,416 weights on CIFAR-10 with projection shortcuts."""

    return _ResNet(shape, classes, _NARROW, blocks=18, shortcut=shortcut, norm=norm)


@MODELS.register('resnet18')
def resnet18(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection', norm: Norm = 'affine') -> nn.Module:
    """The 18-layer network in its CIFAR form: 3×3 stem without pooling, 64 to 512 channels: 11,164,352 weights."""

    return _ResNet(shape, classes, (64, 128, 256, 512), blocks=2, shortcut=shortcut, norm=norm)


@MODELS.register('resnet18-imagenet')
def resnet18_imagenet(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """The 18-layer network in its ImageNet form (He et al. 2016, table 1): a 7×7 stem of stride 2 with pooling, which
    reduces height and width to a quarter: 11,678,912 weights on ImageNet.
    """

    stem = nn.Sequential(
        nn.Conv2d(shape[0], 64, 7, 2, padding=3, bias=False), batch_norm(64, norm), nn.ReLU(),
        nn.MaxPool2d(3, 2, padding=1))
    return _ResNet(shape, classes, (64, 128, 256, 512), blocks=2, shortcut='projection', norm=norm, stem=stem)


class _ResNet(nn.Module):
    """Stem, stages, average pooling, classifier. Each stage but the first halves height and width."""

    def __init__(
            self, shape: Shape, classes: int, widths: Sequence[int], *, blocks: int, shortcut: Shortcut,
            norm: Norm, stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem or nn.Sequential(
            nn.Conv2d(shape[0], widths[0], 3, padding=1, bias=False), batch_norm(widths[0], norm), nn.ReLU())
        stages: list[nn.Module] = []
        inputs = widths[0]
        for stage, channels in enumerate(widths):
            for block in range(blocks):
                stages.append(_Block(inputs, channels, 2 if stage and not block else 1, shortcut, norm))
                inputs = channels
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, classes, bias=shortcut == 'projection')

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes)."""

        features: Tensor = self.blocks(self.stem(images)).mean((-2, -1))
        logits: Tensor = self.classifier(features)
        return logits


class _Block(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, channels: int, stride: int, shortcut: Shortcut, norm: Norm) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False), batch_norm(channels, norm), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), batch_norm(channels, norm))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 and shortcut == 'projection':
            projection = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, batch_norm(channels, norm))
        elif stride > 1:
            self.shortcut = _Padding(channels - inputs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, H / stride, W / stride)."""

        return F.relu(self.main(images) + self.shortcut(images))


class _Padding(nn.Module):
    """Option A of He et al.: every second pixel, and zeros for new channels, half of them before and half after."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + extra, H / 2, W / 2)."""

        return F.pad(images[..., ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
