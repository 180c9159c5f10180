"""Vision Transformer (Dosovitskiy et al. 2021) in its CIFAR form: small patches, a class token, learned positions.

Blocks are pre-norm, as in the paper (section 3.1): attention, then two dense layers with GELU, each after a LayerNorm
and with a shortcut. One dense layer computes queries, keys and values of all heads. The weights of all dense layers and
of the patches are pruned; token, positions and LayerNorm are not. Tokens start at 0, positions with std 0.02.
"""
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from lth.errors import LthError
from lth.models.registry import MODELS, Shape
from lth.models.zoo.patches import Depth, Patches, PatchSize, Width

Heads = Annotated[int, Field(ge=1, le=64, description='Number of heads of attention.')]
_EPSILON = 1e-6  # of LayerNorm, as in the code of the paper


@MODELS.register('vit-tiny')
def vit_tiny(
        shape: Shape, classes: int, *, patch: PatchSize = 4, depth: Depth = 12, width: Width = 192,
        heads: Heads = 3) -> nn.Module:
    """Twelve blocks of width 192 with three heads, on patches of 4 × 4 pixels: 5,319,552 weights on CIFAR-10."""

    if width % heads:
        raise LthError(f'vit-tiny: model.width={width} cannot be divided among model.heads={heads}. Choose a multiple.')
    return _ViT(classes, Patches('vit-tiny', shape, patch, width), depth=depth, width=width, heads=heads)


class _ViT(nn.Module):
    """Patches, blocks, and a classifier of the class token."""

    def __init__(self, classes: int, patches: Patches, *, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.patches = patches
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, patches.count + 1, width))
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, _EPSILON)
        self.classifier = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, classes)."""

        tokens = torch.cat([self.token.expand(images.shape[0], -1, -1), self.patches(images)], 1)
        features: Tensor = self.blocks(tokens + self.positions)
        logits: Tensor = self.classifier(self.norm(features[:, 0]))
        return logits


class _Block(nn.Module):
    """Attention among all tokens, then two dense layers for each token: (B, T, width) -> (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width, _EPSILON), _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, _EPSILON)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""

        tokens = tokens + self.attention(self.norm1(tokens))
        features: Tensor = tokens + self.dense(self.norm2(tokens))
        return features


class _Attention(nn.Module):
    """Softmax attention: `qkv` has the rows of all queries, then those of all keys, then those of all values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""

        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        result: Tensor = self.project(mixed)
        return result
