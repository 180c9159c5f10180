"""A module's structure as a pure function of its vector."""
import copy
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
# What a model's function or a layer raises when pictures do not fit it.
_SHAPE_ERRORS = (RuntimeError, ValueError, TypeError, AssertionError, ArithmeticError)


@dataclass(frozen=True)
class Network:
    """A structure and the layout of its vector; `noisy` if it draws random numbers in training, as dropout does.

    The module's own numbers are only the start of what is not drawn.
    """

    module: nn.Module
    layout: Layout
    shape: Shape
    classes: int
    settings: ModelSettings
    stochastic: bool = False

    @staticmethod
    def of(settings: ModelSettings, shape: Shape, classes: int, keep_out: tuple[str, ...] = ()) -> 'Network':
        """The network that the settings name, for pictures of `shape` in `classes` classes."""

        module = _build_module(settings, shape, classes, seed=0)
        layout = Layout.of(module, keep_out)
        stochastic = _probe_module(copy.deepcopy(module).train(), settings.name, shape, classes)
        module.eval()
        return Network(module, layout, shape, classes, settings, stochastic)

    @property
    def stackable(self) -> bool:
        """Whether replicates pay as batched matrix products: dense layers only."""

        convolves = any(isinstance(layer, _ConvNd) for layer in self.module.modules())
        return not (convolves or self.stochastic or self.has_user_code or dict(self.module.named_buffers()))

    @property
    def has_batch_norm(self) -> bool:
        """Whether there is a BatchNorm in it."""

        return any(isinstance(layer, _BatchNorm) for layer in self.module.modules())

    @property
    def fingerprint(self) -> str:
        """What changes if the structure does, or the file of a model of the user's own."""

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
        """Whether the user's own code runs in it, which may do what can be neither stacked nor captured."""

        name = self.settings.name
        return not (MODELS.is_builtin(name) or name.startswith('torchvision:'))

    @property
    def has_fixed_weights(self) -> bool:
        """Whether every seed starts from the same weights: those of the module that was given as the model."""

        return self.settings.initializer == OWN and isinstance(MODELS.find(self.settings.name), ModuleCopies)

    def initial_weights(self, seed: int) -> Tensor:
        """Initial weights: (N,). Convolution and dense weights by the initializer, their biases 0, all else (BatchNorm,
        or everything if the initializer is `own`) as the module's code makes it.
        """

        initializer, random = self.settings.initializer, rng.generator(seed, 'weights')
        module = _build_module(self.settings, self.shape, self.classes, seed=seed)
        drawn = {name: parameter.detach() for name, parameter in module.named_parameters()}
        if initializer == OWN:
            return self.layout.pack(drawn)
        slots = {slot.name: slot for slot in self.layout.slots}
        biases = {f'{name}.bias' for name, layer in module.named_modules() if isinstance(layer, (_ConvNd, nn.Linear))}
        # Drawn in module order, so that a layer kept out of pruning does not change the draw.
        for name in drawn:
            if slots[name].kind != 'other':
                drawn[name] = INITIALIZERS.find(initializer)(slots[name], random)
            elif name in biases:
                drawn[name] = torch.zeros(slots[name].shape)
        return self.layout.pack(drawn)

    def initial_buffers(self, seed: int = 0) -> Buffers:
        """Initial buffers, such as the running statistics of BatchNorm, or random features."""

        module = self.module if seed == 0 else _build_module(self.settings, self.shape, self.classes, seed=seed)
        return {name: buffer.clone() for name, buffer in module.named_buffers()}

    def logits(self, weights: Tensor, buffers: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """The network as a function, in evaluation mode: (N,), {...}, (B, C, H, W) -> (B, classes)."""

        logits: Tensor = functional_call(self.module, {**self.layout.unpack(weights), **buffers}, (images,))
        return logits

    def bind(self, weights: Tensor, buffers: Buffers) -> nn.Module:
        """A module in training mode whose parameters are leaf views into `weights` (N,) and whose buffers are these.

        Splitting one flat leaf inside autograd instead costs 20-30%.
        """

        module = copy.deepcopy(self.module).train()
        ours = {name: nn.Parameter(view) for name, view in self.layout.unpack(weights).items()}
        first = {id(parameter): name for name, parameter in module.named_parameters()}
        # Under all of its names, if layers share it.
        for name, parameter in list(module.named_parameters(remove_duplicate=False)):
            owner, _, leaf = name.rpartition('.')
            module.get_submodule(owner).register_parameter(leaf, ours[first[id(parameter)]])
        for name, buffer in buffers.items():
            owner, _, leaf = name.rpartition('.')
            setattr(module.get_submodule(owner), leaf, buffer)
        for layer in module.modules():
            if isinstance(layer, nn.Flatten):
                layer.register_forward_pre_hook(_channels_last_gradient)
        return module


def _channels_last_gradient(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Turns the gradient behind a flattening to channels_last, as all before it is.

    Pooling and ReLU are many times slower on a mixture.
    """

    features = inputs[0]
    if features.requires_grad and features.is_contiguous(memory_format=torch.channels_last):
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))


def _build_module(settings: ModelSettings, shape: Shape, classes: int, *, seed: int) -> nn.Module:
    """The module as its code makes it, its random numbers those of the seed; the global generator is left as it was."""

    names = type(settings).model_fields.keys() - {'name', 'initializer'}
    options = {name: getattr(settings, name) for name in names}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.derive_seed(seed, 'module'))
        with user_code.guard(f'{settings.name}, built for pictures of shape {shape} in {classes} classes,'):
            module = MODELS.find(settings.name)(shape, classes, **options)
    if not isinstance(module, nn.Module):
        raise LthError(f'{settings.name} returns {type(module).__name__}, expected a torch.nn.Module.')
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise LthError(f'{settings.name}: {name} has no shape before pictures come: give the layer its size '
                           'instead of a lazy one.')
        if not parameter.requires_grad:
            raise LthError(f'{settings.name}: {name} does not train (requires_grad=False), but all parameters do here: '
                           'register it as a buffer.')
    return module


def _probe_module(module: nn.Module, name: str, shape: Shape, classes: int) -> bool:
    """Shows the module two black pictures in training: whether it drew random numbers; an LthError if they misfit."""

    entered: list[tuple[str, nn.Module, tuple[Any, ...]]] = []
    for path, layer in module.named_modules():
        if isinstance(layer, (_ConvNd, nn.Linear)):
            layer.register_forward_pre_hook(
                lambda layer, inputs, path=path: entered.append((path, layer, inputs)))  # type: ignore[misc]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        before, buffers = torch.get_rng_state(), {name: id(buffer) for name, buffer in module.named_buffers()}
        with user_code.guard(name):
            try:
                logits = module(torch.zeros(2, *shape))
            except _SHAPE_ERRORS as error:
                raise LthError(f'{name} does not fit pictures of shape {shape}: {_shape_error(error, entered)}') from None
        stochastic = not torch.equal(before, torch.get_rng_state())
    replaced = [path for path, buffer in module.named_buffers() if buffers.get(path) != id(buffer)]
    if replaced:
        raise LthError(f'{name}: its buffer {replaced[0]} is replaced in forward, which would be lost: change it in '
                       'place (buffer.copy_(...)).')
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        got = f'shape {tuple(logits.shape)}' if isinstance(logits, Tensor) else type(logits).__name__
        raise LthError(f'{name} gives {got} for 2 pictures, expected logits of shape (2, {classes}).')
    return stochastic


def _shape_error(error: Exception, entered: list[tuple[str, nn.Module, tuple[Any, ...]]]) -> str:
    """Which layer wants other pictures, with both shapes."""

    if not entered or not isinstance(entered[-1][2][0], Tensor):
        return describe(error)
    path, layer, (given, *_) = entered[-1]
    wants = f'{layer.in_features} features' if isinstance(layer, nn.Linear) else f'{layer.in_channels} channels'
    place = -1 if isinstance(layer, nn.Linear) else 1
    if given.shape[place] == getattr(layer, 'in_features', getattr(layer, 'in_channels', None)):
        return f'behind its layer {path!r}, which was given shape {tuple(given.shape)}: {describe(error)}'
    colour = '; show grey pictures in colour with --set data.channels=3' if given.shape[1:2] == (1,) else ''
    return (f'its layer {path!r} takes {wants}, and was given shape {tuple(given.shape)}. Choose pictures or a model '
            f'that fit{colour}.')
