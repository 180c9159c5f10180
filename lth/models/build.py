"""Build the module of a model, and check that it fits the data."""
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lth import rng
from lth.errors import LthError, describe, quote
from lth.models.registry import MODELS, Shape
from lth.recipes.schema import ModelSettings
from lth.registry import user_code

# Raised by a model or a layer if images of another shape are needed.
_SHAPE_ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError)


def build_module(settings: ModelSettings, shape: Shape, classes: int, *, seed: int) -> nn.Module:
    """The module as the model's code makes it, with random numbers from the seed; the global generator is unchanged."""

    options = {name: value for name, value in settings if name not in set(ModelSettings.model_fields)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.derive_seed(seed, 'module'))
        with user_code.guard(f'{settings.name}, built for images of shape {shape} in {classes} classes,'):
            module = MODELS.find(settings.name)(shape, classes, **options)
    if not isinstance(module, nn.Module):
        raise LthError(f'{settings.name} returns {type(module).__name__}, expected a torch.nn.Module.')
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise LthError(f'{settings.name}: {name} has no shape before the first forward pass. Replace the lazy '
                           'layer by one of a fixed size.')
        if not parameter.requires_grad:
            raise LthError(f'{settings.name}: {name} is not trained (requires_grad=False), but lth trains all '
                           'parameters. Register it as a buffer.')
    return module


def probe_module(module: nn.Module, name: str, shape: Shape, classes: int) -> bool:
    """Pass two black images through the module in training mode and return whether it used random numbers; LthError if
    the images do not fit, if the output is no (2, classes) tensor, or if a buffer is replaced.
    """

    calls: list[_Call] = []
    for path, layer in module.named_modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            layer.register_forward_pre_hook(
                lambda layer, inputs, path=path: calls.append(_Call(path, layer, inputs)))  # type: ignore[misc]
    buffers = {path: id(buffer) for path, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]), torch.no_grad(), user_code.guard(name):
        before = torch.get_rng_state()
        try:
            logits = module(torch.zeros(2, *shape))
        except _SHAPE_ERRORS as error:
            raise LthError(f'{name} does not fit images of shape {shape}: {_shape_error(error, calls)}') from None
        stochastic = not torch.equal(before, torch.get_rng_state())
    replaced = [path for path, buffer in module.named_buffers() if buffers.get(path) != id(buffer)]
    if replaced:
        raise LthError(f'{name}: forward replaces its buffer {replaced[0]}, and the new value would be lost. Change it '
                       'in place (buffer.copy_(...)).')
    _require_logits(logits, name, classes)
    return stochastic


def _require_logits(logits: Any, name: str, classes: int) -> None:
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        output = f'shape {tuple(logits.shape)}' if isinstance(logits, Tensor) else type(logits).__name__
        raise LthError(f'{name} returns {output} for 2 images, but logits of shape (2, {classes}) are expected.')


class _Call(NamedTuple):
    """A forward call of a convolution or dense layer: its path in the module, the layer and its inputs."""

    path: str
    layer: _ConvNd | nn.Linear
    inputs: tuple[Any, ...]


def _shape_error(error: Exception, calls: list[_Call]) -> str:
    """Which layer needs other inputs, and both sizes; or the last layer before the error."""

    if not calls or not isinstance(calls[-1].inputs[0], Tensor):
        return describe(error)
    path, layer, (features, *_) = calls[-1]
    shape = tuple(features.shape)
    if isinstance(layer, nn.Linear):
        needed, size, unit = layer.in_features, shape[-1], 'features'
    else:
        needed, size, unit = layer.in_channels, shape[1], 'channels'
    if size == needed:
        return f'the error occurs after its layer {quote(path)}, whose input has shape {shape}: {describe(error)}'
    advice = ', or convert gray images to color with --set data.channels=3' if shape[1:2] == (1,) else ''
    return (f'its layer {quote(path)} needs {needed} {unit}, but its input has shape {shape}. Choose images or a model '
            f'that fit each other{advice}.')
