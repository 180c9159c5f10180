"""Square patches of an image as tokens: the first layer of Vision Transformers and of MLP-Mixers."""
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from lth.errors import LthError
from lth.models.registry import Shape

# Sizes that a model of tokens takes as options.
PatchSize = Annotated[int, Field(ge=1, le=64, description='Side of a patch in pixels.')]
Depth = Annotated[int, Field(ge=1, le=64, description='Number of blocks.')]
Width = Annotated[int, Field(ge=1, le=4096, description='Length of a token.')]


class Patches(nn.Module):
    """Each patch of `side` × `side` pixels is mapped to a token by one dense layer, as a convolution of this stride.
    LthError if the patches do not cover the image.
    """

    def __init__(self, model: str, shape: Shape, side: int, width: int) -> None:
        super().__init__()
        channels, height, columns = shape
        if height % side or columns % side:
            raise LthError(f'{model}: patches of {side} × {side} pixels do not cover images of {height} × {columns} '
                           'pixels. Set model.patch to a divisor of height and width, or resize the images '
                           f'(data.size={max(side, min(height, columns) // side * side)}).')
        self.count = height // side * (columns // side)
        self.project = nn.Conv2d(channels, width, side, stride=side)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> tokens (B, count, width), row after row."""

        tokens: Tensor = self.project(images).flatten(2).transpose(1, 2)
        return tokens
