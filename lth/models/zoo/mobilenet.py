"""MobileNetV2 (Sandler et al. 2018) in its CIFAR form: stride 1 instead of 2 in the stem and in the second stage."""
from torch import Tensor, nn

from lth.models.registry import MODELS, Norm, Shape, batch_norm

# Expansion, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


@MODELS.register('mobilenet-v2')
def mobilenet_v2(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """Inverted residual blocks of grouped convolutions: 2,261,824 weights on CIFAR-10, as in Rare Gems."""

    layers: list[nn.Module] = [nn.Conv2d(shape[0], 32, 3, padding=1, bias=False), batch_norm(32, norm), nn.ReLU()]
    inputs = 32
    for expansion, channels, blocks, stride in _STAGES:
        for block in range(blocks):
            layers.append(_Inverted(inputs, channels, expansion, 1 if block else stride, norm))
            inputs = channels
    layers += [nn.Conv2d(inputs, 1280, 1, bias=False), batch_norm(1280, norm), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes))


class _Inverted(nn.Module):
    """A 1×1 convolution to more channels, a 3×3 one per channel, a 1×1 one to fewer; a shortcut if the stride is 1."""

    def __init__(self, inputs: int, channels: int, expansion: int, stride: int, norm: Norm) -> None:
        super().__init__()
        width = inputs * expansion
        self.main = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), batch_norm(width, norm), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False), batch_norm(width, norm), nn.ReLU(),
            nn.Conv2d(width, channels, 1, bias=False), batch_norm(channels, norm))
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride == 1 and inputs != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), batch_norm(channels, norm))

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, channels, H / stride, W / stride)."""

        features: Tensor = self.main(images)
        return features if self.stride > 1 else features + self.shortcut(images)
