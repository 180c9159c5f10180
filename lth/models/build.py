"""Build the module of a model, and check that it fits the data."""
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lth import rng
from lth.errors import LthError, describe, quote
from lth.models.double_precision import first_double
from lth.models.registry import MODELS, Shape
from lth.models.requirements import require_supported, without_compilation
from lth.recipes.schema import ModelSettings
from lth.registry import user_code

# Raised by a model or a layer if images of another shape are needed.
_SHAPE_ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError)


def build_module(settings: ModelSettings, shape: Shape, classes: int, *, seed: int) -> nn.Module:
    """The module as the model's code makes it, with random numbers from the seed; the global generator is unchanged."""

    return build_with_notes(settings, shape, classes, seed=seed).module


class Built(NamedTuple):
    """A module, and what was changed in it, for the user."""

    module: nn.Module
    notes: tuple[str, ...]


def build_with_notes(settings: ModelSettings, shape: Shape, classes: int, *, seed: int) -> Built:
    """As `build_module`, with notes: modules in double precision are converted to float32, and compiled ones are used
    without compilation.
    """

    options = {name: value for name, value in settings if name not in set(ModelSettings.model_fields)}
    with rng.seeded_globals(rng.derive_seed(seed, 'module')):
        with user_code.guard(f'{settings.name}, built for images of shape {shape} in {classes} classes,'):
            made = MODELS.find(settings.name)(shape, classes, **options)
    if not isinstance(made, nn.Module):
        raise LthError(f'{settings.name} returns {type(made).__name__}, expected a torch.nn.Module.')
    module, notes = without_compilation(made), list[str]()
    if module is not made:
        notes.append(f'{settings.name} returns a compiled module, which is used without torch.compile')
    double = [name for name, tensor in named_tensors(module) if tensor.dtype == torch.float64]
    if double:
        module = module.float()
        notes.append(f'{settings.name} was converted from float64 to float32: {double[0]} and {len(double) - 1} other '
                     'tensors')
    require_supported(module, settings.name)
    return Built(module, tuple(notes))


def named_tensors(module: nn.Module, *, remove_duplicate: bool = True) -> list[tuple[str, Tensor]]:
    """All parameters and buffers with their names; a tensor that layers share only once, or under all of its names."""

    return [*module.named_parameters(remove_duplicate=remove_duplicate),
            *module.named_buffers(remove_duplicate=remove_duplicate)]


def probe_module(module: nn.Module, name: str, shape: Shape, classes: int, *, images: int = 2) -> bool:
    """Pass black images through the module and return whether it used random numbers; LthError if the images do not
    fit, if the output is no (images, classes) tensor, or if a buffer is replaced.
    """

    calls: list[_Call] = []
    for path, layer in module.named_modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            layer.register_forward_pre_hook(
                lambda layer, inputs, path=path: calls.append(_Call(path, layer, inputs)))  # type: ignore[misc]
    buffers = {path: id(buffer) for path, buffer in module.named_buffers()}
    with rng.seeded_globals(0), torch.no_grad(), user_code.guard(name):
        before = rng.globals_state()
        try:
            logits = module(torch.zeros(images, *shape))
        except _SHAPE_ERRORS as error:
            if double := first_double(module, torch.zeros(images, *shape)) if 'ouble' in str(error) else '':
                raise LthError(f'{name}: forward computes in float64{double}, but lth trains in float32: '
                               f'{describe(error)}{user_code.place(error)}. Convert it with .float().') from None
            raise LthError(
                f'{name} does not fit {_images(images)} of shape {shape}: {_shape_error(error, calls)}') from None
        stochastic = before != rng.globals_state()
    replaced = [path for path, buffer in module.named_buffers() if buffers.get(path) != id(buffer)]
    if replaced:
        raise LthError(f'{name}: forward replaces its buffer {replaced[0]}, and the new value would be lost. Change it '
                       'in place (buffer.copy_(...)).')
    require_logits(logits, name, (images, classes))
    _require_no_doubles(logits, module, name, torch.zeros(images, *shape))
    return stochastic


def _require_no_doubles(logits: Tensor, module: nn.Module, name: str, images: Tensor) -> None:
    if logits.dtype == torch.float64:
        raise LthError(f'{name} returns logits in float64{first_double(module, images)}, but lth trains in float32. '
                       'Convert them with .float().')


def _images(count: int) -> str:
    return 'images' if count > 1 else 'a batch of 1 image'


def require_logits(logits: Any, name: str, expected: tuple[int, int]) -> None:
    """LthError unless the output of a module is one float tensor of this shape."""

    if not isinstance(logits, Tensor) or logits.shape != expected:
        output = f'shape {tuple(logits.shape)}' if isinstance(logits, Tensor) else type(logits).__name__
        raise LthError(f'{name} returns {output} for {expected[0]} images, but logits of shape {expected} are '
                       'expected.')
    if not logits.is_floating_point():
        raise LthError(f'{name} returns {logits.dtype}, but logits are floating-point numbers.')


class _Call(NamedTuple):
    """A forward call of a convolution or dense layer: its path in the module, the layer and its inputs."""

    path: str
    layer: _ConvNd | nn.Linear
    inputs: tuple[Any, ...]


def _shape_error(error: Exception, calls: list[_Call]) -> str:
    """Which layer needs other inputs, and both sizes; or the last layer before the error."""

    if not calls or not isinstance(calls[-1].inputs[0], Tensor):
        return f'{describe(error)}{user_code.place(error)}.'
    path, layer, (features, *_) = calls[-1]
    shape = tuple(features.shape)
    if isinstance(layer, nn.Linear):
        needed, size, unit = layer.in_features, shape[-1], 'features'
    else:
        needed, size, unit = layer.in_channels, shape[1], 'channels'
    if size == needed:
        return (f'the error occurs after its layer {quote(path)}, whose input has shape {shape}: {describe(error)}'
                f'{user_code.place(error)}.')
    advice = ', or convert gray images to color with --set data.channels=3' if shape[1:2] == (1,) else ''
    return (f'its layer {quote(path)} needs {needed} {unit}, but its input has shape {shape}. Choose images or a model '
            f'that fit each other{advice}.')
