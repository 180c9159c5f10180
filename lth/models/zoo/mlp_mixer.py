"""MLP-Mixer (Tolstikhin et al. 2021) in a CIFAR form: dense layers across patches and across channels, in turns.

The hidden widths are those of the paper's table 1 relative to the width: half of it across patches, four times it
across channels. Depth and patch size suit images of 32 × 32 pixels.
"""
from torch import Tensor, nn

from lth.models.registry import MODELS, Shape
from lth.models.zoo.patches import Depth, Patches, PatchSize, Width


@MODELS.register('mlp-mixer')
def mlp_mixer(
        shape: Shape, classes: int, *, patch: PatchSize = 4, depth: Depth = 8, width: Width = 128) -> nn.Module:
    """Eight blocks of width 128 on patches of 4 × 4 pixels: 1,121,536 weights on CIFAR-10."""

    return _Mixer(classes, Patches('mlp-mixer', shape, patch, width), depth=depth, width=width)


class _Mixer(nn.Module):
    """Patches, blocks, and a classifier of the mean of all tokens."""

    def __init__(self, classes: int, patches: Patches, *, depth: int, width: int) -> None:
        super().__init__()
        self.patches = patches
        self.blocks = nn.Sequential(*(_Block(patches.count, width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes)."""

        features: Tensor = self.norm(self.blocks(self.patches(images))).mean(1)
        logits: Tensor = self.classifier(features)
        return logits


class _Block(nn.Module):
    """Two dense layers for each channel, which mix the patches, then two for each patch, which mix the channels."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm1, self.across_patches = nn.LayerNorm(width), _two_layers(patches, max(1, width // 2))
        self.norm2, self.across_channels = nn.LayerNorm(width), _two_layers(width, 4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, patches, width) -> (B, patches, width)."""

        tokens = tokens + self.across_patches(self.norm1(tokens).transpose(1, 2)).transpose(1, 2)
        features: Tensor = tokens + self.across_channels(self.norm2(tokens))
        return features


def _two_layers(width: int, hidden: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
