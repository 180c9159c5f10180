"""ResNet-50 in its ImageNet form (He et al. 2016, table 1; stride in the 3×3 convolution, as in torchvision)."""
import torch.nn.functional as F
from torch import Tensor, nn

from lth.models.registry import MODELS, Norm, Shape, batch_norm

_EXPANSION = 4


@MODELS.register('resnet50')
def resnet50(shape: Shape, classes: int, *, norm: Norm = 'affine') -> nn.Module:
    """3, 4, 6 and 3 bottleneck blocks after a 7×7 stem with pooling: 25,502,912 weights on ImageNet."""

    stages: list[nn.Module] = []
    inputs = 64
    for stage, (channels, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stages.append(_Bottleneck(inputs, channels, 2 if stage and not block else 1, norm))
            inputs = channels * _EXPANSION
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(shape[0], 64, 7, 2, padding=3, bias=False), batch_norm(64, norm), nn.ReLU(),
                      nn.MaxPool2d(3, 2, padding=1)),
        nn.Sequential(*stages), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut around them."""

    def __init__(self, inputs: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        outputs = channels * _EXPANSION
        self.main = nn.Sequential(
            nn.Conv2d(inputs, channels, 1, bias=False), batch_norm(channels, norm), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False), batch_norm(channels, norm), nn.ReLU(),
            nn.Conv2d(channels, outputs, 1, bias=False), batch_norm(outputs, norm))
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, batch_norm(outputs, norm))

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 4 · channels, H / stride, W / stride)."""

        return F.relu(self.main(images) + self.shortcut(images))
