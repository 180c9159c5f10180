"""A network as a function of its flat parameter vector: initial weights, logits, and modules that share the vector."""
import copy
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from lth import rng
from lth.errors import LthError, describe
from lth.models.flat_parameters import Layout
from lth.models.initializers import INITIALIZERS
from lth.models.objects import ModuleCopies, describe_structure
from lth.models.registry import MODELS, OWN, Shape
from lth.recipes.schema import ModelSettings
from lth.registry import user_code
from lth.registry.objects import is_object

Buffers = dict[str, Tensor]
# Raised by a model or a layer if images of another shape are needed.
_SHAPE_ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError)


@dataclass(frozen=True)
class Network:
    """A module's structure and the layout of its parameter vector. Weights and buffers are passed to the methods; the
    module's own values are used only where `initial_weights` and `initial_buffers` say so.

    `stochastic`: whether it uses random numbers in training, as dropout does.
    """

    module: nn.Module
    layout: Layout
    shape: Shape
    classes: int
    settings: ModelSettings
    stochastic: bool = False

    @staticmethod
    def of(settings: ModelSettings, shape: Shape, classes: int, keep_out: tuple[str, ...] = ()) -> 'Network':
        """The network of the settings, for images of `shape` in `classes` classes. Layers that match `keep_out` are not
        prunable. LthError if the model cannot be built or does not fit the images.
        """

        module = _build_module(settings, shape, classes, seed=0)
        layout = Layout.of(module, keep_out)
        stochastic = _probe_module(copy.deepcopy(module).train(), settings.name, shape, classes)
        module.eval()
        return Network(module, layout, shape, classes, settings, stochastic)

    @property
    def stackable(self) -> bool:
        """Whether replicates are faster as batched matrix products: for built-in models of dense layers only."""

        convolves = any(isinstance(layer, _ConvNd) for layer in self.module.modules())
        return not (convolves or self.stochastic or self.has_user_code or dict(self.module.named_buffers()))

    @property
    def has_batch_norm(self) -> bool:
        """Whether it has BatchNorm layers."""

        return any(isinstance(layer, _BatchNorm) for layer in self.module.modules())

    @property
    def fingerprint(self) -> str:
        """Digest of the names, shapes and prunability of all parameters, and of the code of a user's model."""

        slots = [(slot.name, slot.shape, slot.prunable) for slot in self.layout.slots]
        digest = hashlib.blake2b(repr(slots).encode(), digest_size=12)
        if is_object(self.settings.name):
            digest.update(describe_structure(MODELS.find(self.settings.name), self.module).encode())
        elif self.has_user_code:
            file = inspect.getsourcefile(MODELS.find(self.settings.name))
            digest.update(Path(file).read_bytes() if file else b'')
        return digest.hexdigest()

    @property
    def has_user_code(self) -> bool:
        """Whether it runs code of users or plug-ins, which engines cannot stack or capture safely."""

        name = self.settings.name
        return not (MODELS.is_builtin(name) or name.startswith('torchvision:'))

    @property
    def has_fixed_weights(self) -> bool:
        """Whether every seed starts from the same weights: those of the module that was given as the model."""

        return self.settings.initializer == OWN and isinstance(MODELS.find(self.settings.name), ModuleCopies)

    def initial_weights(self, seed: int) -> Tensor:
        """Initial values of all parameters: (N,). The initializer sets the weights of convolutions and dense layers;
        their biases are 0. All other parameters (of BatchNorm; with the initializer `own`, all) are set by the model's
        code, seeded with `seed`.
        """

        initializer, random = self.settings.initializer, rng.generator(seed, 'weights')
        module = _build_module(self.settings, self.shape, self.classes, seed=seed)
        values = {name: parameter.detach() for name, parameter in module.named_parameters()}
        if initializer == OWN:
            return self.layout.pack(values)
        slots = {slot.name: slot for slot in self.layout.slots}
        biases = {f'{name}.bias' for name, layer in module.named_modules() if isinstance(layer, (_ConvNd, nn.Linear))}
        # In module order, so that the random numbers of a weight do not depend on which layers are kept out of pruning.
        for name in values:
            if slots[name].kind != 'other':
                values[name] = INITIALIZERS.find(initializer)(slots[name], random)
            elif name in biases:
                values[name] = torch.zeros(slots[name].shape)
        return self.layout.pack(values)

    def initial_buffers(self, seed: int = 0) -> Buffers:
        """Initial buffers, such as the running statistics of BatchNorm, as the model's code makes them for a seed."""

        module = self.module if seed == 0 else _build_module(self.settings, self.shape, self.classes, seed=seed)
        return {name: buffer.clone() for name, buffer in module.named_buffers()}

    def logits(self, weights: Tensor, buffers: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Logits in evaluation mode: weights (N,), buffers, images (B, C, H, W) -> (B, classes)."""

        logits: Tensor = functional_call(self.module, {**self.layout.unpack(weights), **buffers}, (images,))
        return logits

    def bind(self, weights: Tensor, buffers: Buffers) -> nn.Module:
        """A module in training mode whose parameters are views into `weights` (N,), each a leaf of autograd, and whose
        buffers are `buffers`. (With the vector as the only leaf, splitting it inside autograd costs 20-30%.)
        """

        module = copy.deepcopy(self.module).train()
        views = {name: nn.Parameter(view) for name, view in self.layout.unpack(weights).items()}
        slot_names = {id(parameter): name for name, parameter in module.named_parameters()}
        # A parameter that layers share has several names, but one slot.
        for name, parameter in list(module.named_parameters(remove_duplicate=False)):
            owner, _, leaf = name.rpartition('.')
            module.get_submodule(owner).register_parameter(leaf, views[slot_names[id(parameter)]])
        for name, buffer in buffers.items():
            owner, _, leaf = name.rpartition('.')
            setattr(module.get_submodule(owner), leaf, buffer)
        for layer in module.modules():
            if isinstance(layer, nn.Flatten):
                layer.register_forward_pre_hook(_channels_last_gradient)
        return module


def _channels_last_gradient(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Convert the gradient before an nn.Flatten to channels_last, the format of the features. Pooling and ReLU are many
    times slower if the formats of features and gradient differ.
    """

    features = inputs[0]
    if features.requires_grad and features.is_contiguous(memory_format=torch.channels_last):
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))


def _build_module(settings: ModelSettings, shape: Shape, classes: int, *, seed: int) -> nn.Module:
    """The module as the model's code makes it, with random numbers from the seed. The global generator does not change.
    """

    names = type(settings).model_fields.keys() - {'name', 'initializer'}
    options = {name: getattr(settings, name) for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.derive_seed(seed, 'module'))
        with user_code.guard(f'{settings.name}, built for images of shape {shape} in {classes} classes,'):
            module = MODELS.find(settings.name)(shape, classes, **options)
    if not isinstance(module, nn.Module):
        raise LthError(f'{settings.name} returns {type(module).__name__}, expected a torch.nn.Module.')
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise LthError(f'{settings.name}: {name} has no shape before the first forward pass. Replace the lazy '
                           'layer by one with a given size.')
        if not parameter.requires_grad:
            raise LthError(f'{settings.name}: {name} is not trained (requires_grad=False), but lth trains all '
                           'parameters. Register it as a buffer.')
    return module


def _probe_module(module: nn.Module, name: str, shape: Shape, classes: int) -> bool:
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
        return f'the error occurs after its layer {path!r}, whose input has shape {shape}: {describe(error)}'
    advice = ', or convert gray images to color with --set data.channels=3' if shape[1:2] == (1,) else ''
    return (f'its layer {path!r} needs {needed} {unit}, but its input has shape {shape}. Choose images or a model that '
            f'fit each other{advice}.')
