"""Networks of timm, `timm:NAME`, untrained: built for the size and the channels of the images and for their classes.

timm is an optional package (the extra `timm`). Nothing is downloaded: names with a tag of pretrained weights, and names
of its hubs, are refused.
"""
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lth.errors import LthError, describe, quote, suggestion
from lth.system import lazy_import

timm = lazy_import.module('timm')

PREFIX = 'timm:'
Shape = tuple[int, int, int]
# What networks of timm raise for images that they cannot take.
_ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError, LookupError)


def timm_model(name: str) -> Callable[..., nn.Module]:
    """The network of timm with this name, without its prefix, as a function (shape, classes) -> module. LthError if
    timm is not installed or has no such network.
    """

    known = _known_networks()
    if name not in known:
        architecture, _, tag = name.partition('.')
        if tag and architecture in known:
            raise LthError(f'{PREFIX}{name}: {quote(tag)} names pretrained weights, but lth trains networks from the '
                           f'start. Use {PREFIX}{architecture}.')
        raise LthError(f'timm has no network {quote(name)}{suggestion(name, known, listed_by="timm.list_models()")}')

    def model(shape: Shape, classes: int) -> nn.Module:
        built = _build(name, shape, classes)
        _refuse_uncovered_images(built, name, shape)
        _try_image(built, name, shape)
        return built
    return model


def _known_networks() -> list[str]:
    try:
        known: list[str] = timm.list_models()
    except ImportError:
        raise LthError("Networks of timm need the package timm. Install it with: pip install 'lth[timm]'") from None
    return known


def _build(name: str, shape: Shape, classes: int) -> nn.Module:
    """The network for images of this shape. Those that are built for one size take it as the argument `img_size`."""

    options: dict[str, Any] = {'pretrained': False, 'num_classes': classes, 'in_chans': shape[0]}
    try:
        try:
            built: nn.Module = timm.create_model(name, img_size=shape[1:], **options)
        except TypeError as error:
            if 'img_size' not in str(error):
                raise
            built = timm.create_model(name, **options)
    except _ERRORS as error:
        raise _refusal(name, shape, describe(error)) from None
    return built


def _refuse_uncovered_images(module: nn.Module, name: str, shape: Shape) -> None:
    """LthError if patches leave out a part of the image, or do not fit into it at all, which timm does not report."""

    patches = getattr(module, 'patch_embed', None)
    sides = getattr(patches, 'patch_size', None)
    pair = (sides, sides) if isinstance(sides, int) else sides
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or getattr(patches, 'dynamic_img_pad', False):
        return
    if any(length % side for length, side in zip(shape[1:], pair)):
        raise _refusal(name, shape, f'its patches of {pair[0]} × {pair[1]} pixels do not cover them')


def _try_image(module: nn.Module, name: str, shape: Shape) -> None:
    """LthError if the network fails for a black image of this shape."""

    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, *shape))
    except _ERRORS as error:
        raise _refusal(name, shape, describe(error)) from None
    module.train()


def _refusal(name: str, shape: Shape, reason: str) -> LthError:
    size = timm.get_pretrained_cfg(name).input_size[1:]
    made = f'It was made for {size[0]} × {size[1]} pixels: --set data.size={size[0]}, or choose another network.'
    return LthError(f'{PREFIX}{name} cannot take images of {shape[0]} × {shape[1]} × {shape[2]} (channels × height × '
                    f'width): {reason.rstrip(".")}. {made}')
