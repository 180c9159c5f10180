"""Wide residual networks (Zagoruyko & Komodakis 2016): BatchNorm and ReLU before each convolution. The stages have
16, 32 and 64 channels times the width.
"""
import torch.nn.functional as F
from torch import Tensor, nn

from lth.models.registry import MODELS, Norm, Shape, batch_norm


@MODELS.register('wide-resnet28-2')
def wide_resnet28_2(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """28 layers, width 2: 1,463,984 weights on CIFAR-10."""

    return _WideResNet(shape, classes, width=2, blocks=4, norm=norm)


@MODELS.register('wide-resnet28-10')
def wide_resnet28_10(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """28 layers, width 10: 36,461,232 weights on CIFAR-10."""

    return _WideResNet(shape, classes, width=10, blocks=4, norm=norm)


class _WideResNet(nn.Module):
    """Stem, three stages of pre-activation blocks, a last BatchNorm, average pooling, classifier."""

    def __init__(self, shape: Shape, classes: int, *, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        self.stem = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        inputs = 16
        for stage in range(3):
            channels = 16 * 2 ** stage * width
            for block in range(blocks):
                stages.append(_WideBlock(inputs, channels, 2 if stage and not block else 1, norm))
                inputs = channels
        self.blocks = nn.Sequential(*stages)
        self.norm = batch_norm(inputs, norm)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes)."""

        features: Tensor = F.relu(self.norm(self.blocks(self.stem(images)))).mean((-2, -1))
        logits: Tensor = self.classifier(features)
        return logits


class _WideBlock(nn.Module):
    """Two pre-activated 3×3 convolutions; a 1×1 shortcut after the first activation where channels change."""

    def __init__(self, inputs: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.before = nn.Sequential(batch_norm(inputs, norm), nn.ReLU())
        self.main = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False), batch_norm(channels, norm), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False))
        self.shortcut = nn.Conv2d(inputs, channels, 1, stride, bias=False) if inputs != channels else None

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, H / stride, W / stride)."""

        activated: Tensor = self.before(images)
        features: Tensor = self.main(activated)
        return features + (images if self.shortcut is None else self.shortcut(activated))
