"""Memory that a model needs, estimated before it is allocated: of its parameters, and of the features of a batch."""
import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.registry import user_code
from lth.system.memory import available_memory, in_gibibytes

BYTES = 4  # of a float32
# The module, the copy that is tried, and the flat vector.
_COPIES = 3
# Smaller batches are not estimated: that takes a forward pass, and their features fit into every memory.
_LARGE_BATCH = 2 ** 26
_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)


class LimitParameters(TorchFunctionMode):
    """A context in which the code of a model makes its tensors: LthError before they exceed the memory. `what` starts
    the message.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._elements = 0
        self._limit = available_memory()

    def __torch_function__(
            self, func: Callable[..., Any], types: Iterable[Any], args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None) -> Any:
        options = kwargs or {}
        if func in _FACTORIES:
            self._elements += _element_count(args, options)
            self._check()
        return func(*args, **options)

    def _check(self) -> None:
        needed = _COPIES * BYTES * self._elements
        if needed > self._limit:
            raise LthError(f'{self._what} needs at least {in_gibibytes(needed)} of memory: {self._elements:,} '
                           f'parameters of {BYTES} bytes, {_COPIES} times. The limit is {in_gibibytes(self._limit)}, '
                           'the memory of this machine. Use smaller images (data.size) or a smaller model.',
                           exit_code=ENVIRONMENT_ERROR)


def feature_bytes(module: nn.Module, shape: tuple[int, int, int], images: int) -> int:
    """The memory of the inputs of all convolutions and dense layers for a batch of images of this shape, which a
    training step keeps for the gradients. 0 for small batches, and if the model's code needs real tensors.
    """

    return sum(inputs for inputs, _ in _feature_bytes_by_layer(module, shape, images))


def refuse_large_features(module: nn.Module, what: str, shape: tuple[int, int, int], *, images: int) -> None:
    """LthError before a forward pass without gradients whose features exceed the memory: the inputs and outputs of the
    layer that has most of them. Small batches, and models whose code needs real tensors, are not refused.
    """

    needed = max(map(sum, _feature_bytes_by_layer(module, shape, images)), default=0)
    limit = available_memory()
    if needed > limit:
        raise LthError(f'{what} needs at least {in_gibibytes(needed)} of memory for the features of {images} images of '
                       f'{shape[1]} × {shape[2]} pixels. The limit is {in_gibibytes(limit)}, the memory of this '
                       'machine. Use smaller images (data.size) or a smaller model.', exit_code=ENVIRONMENT_ERROR)


def _feature_bytes_by_layer(
        module: nn.Module, shape: tuple[int, int, int], images: int) -> list[tuple[int, int]]:
    """The memory of the inputs and of the outputs of each convolution and dense layer, from a forward pass that
    computes and allocates nothing; [] for small batches, and if the model's code needs real tensors.
    """

    if BYTES * images * math.prod(shape) < _LARGE_BATCH:
        return []
    sizes: list[tuple[int, int]] = []
    try:
        with user_code.guard('The estimate of its memory'), torch.no_grad():
            without_memory = copy.deepcopy(module).to('meta')
            for layer in without_memory.modules():
                if isinstance(layer, (_ConvNd, nn.Linear)):
                    layer.register_forward_hook(lambda _layer, inputs, output: sizes.append(
                        (BYTES * inputs[0].numel(), BYTES * output.numel())))
            without_memory(torch.zeros(images, *shape, device='meta'))
    except LthError:
        return []
    return sizes


def _element_count(args: tuple[Any, ...], options: Mapping[str, Any]) -> int:
    """The number of elements that a factory of tensors makes: of torch.empty((2, 3)) and torch.empty(2, 3) it is 6."""

    size = options.get('size', args[0] if args and isinstance(args[0], (tuple, list)) else args)
    return math.prod(length for length in size if isinstance(length, int))
