"""Residual networks for CIFAR (He et al. 2016, section 4.2): 3×3 stem, three stages of 16, 32, 64 channels."""
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lth.models.zoo import MODELS, Shape

Shortcut = Literal['projection', 'identity']


@MODELS.register('resnet20')
def resnet20(shape: Shape, classes: int, *, shortcut: Shortcut = 'projection') -> nn.Module:
    """Three blocks a stage. `projection`: 1×1 convolutions where the size changes, 270,896 weights on CIFAR-10, the
    "ResNet-18" of Frankle & Carbin 2019. `identity`: parameter-free shortcuts and no bias in the classifier, 268,336
    weights, as in Rare Gems.
    """

    return _ResNet(shape, classes, blocks=3, shortcut=shortcut)


class _ResNet(nn.Module):
    """Stem, stages, average pooling, classifier."""

    def __init__(self, shape: Shape, classes: int, *, blocks: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(shape[0], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        stages: list[nn.Module] = []
        inputs = 16
        for channels in (16, 32, 64):
            for _ in range(blocks):
                stages.append(_Block(inputs, channels, shortcut))
                inputs = channels
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, classes, bias=shortcut == 'projection')

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes)."""

        features: Tensor = self.blocks(self.stem(images)).mean((-2, -1))
        logits: Tensor = self.classifier(features)
        return logits


class _Block(nn.Module):
    """Two 3×3 convolutions and a shortcut around them; halves the picture where the channels grow."""

    def __init__(self, inputs: int, channels: int, shortcut: Shortcut) -> None:
        super().__init__()
        stride = channels // inputs
        self.main = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = _projection(inputs, channels) if shortcut == 'projection' else _Padding(channels - inputs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, H / stride, W / stride)."""

        return F.relu(self.main(images) + self.shortcut(images))


def _projection(inputs: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, channels, 1, 2, bias=False), nn.BatchNorm2d(channels))


class _Padding(nn.Module):
    """He et al.'s option A: every second pixel, new channels zero, half of them on each side."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C + extra, H / 2, W / 2)."""

        return F.pad(images[..., ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
