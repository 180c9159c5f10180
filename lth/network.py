"""A module's structure as a pure function of its vector."""
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd

from lth import models, streams
from lth.errors import LthError
from lth.recipe import ModelSettings
from lth.vectors import Layout, Slot

Buffers = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """A structure and the layout of its vector. The module's own numbers are only the start of what is not drawn."""

    module: nn.Module
    layout: Layout
    shape: tuple[int, int, int]
    classes: int
    settings: ModelSettings

    @staticmethod
    def of(
            settings: ModelSettings, shape: tuple[int, int, int], classes: int, keep_out: tuple[str, ...] = (),
    ) -> 'Network':
        """The network that the settings name, for pictures of `shape` in `classes` classes."""

        options = {key: getattr(settings, key) for key in type(settings).model_fields if key != 'name'}
        with torch.random.fork_rng(devices=[]):
            module = models.MODELS.find(settings.name)(shape, classes, **options)
        module.eval()
        try:
            with torch.no_grad():
                module(torch.zeros(1, *shape))
        except RuntimeError as error:
            raise LthError(f'{settings.name} does not fit pictures of shape {shape}: {error}') from None
        return Network(module, Layout.of(module, keep_out), shape, classes, settings)

    @property
    def stackable(self) -> bool:
        """Whether replicates pay as batched matrix products: dense layers only."""

        return not any(isinstance(layer, _ConvNd) for layer in self.module.modules()) and not self.fresh_buffers()

    def fresh(self, seed: int) -> Tensor:
        """Initial weights: (N,). Gaussian Glorot, biases 0, all else (BatchNorm) as the module starts it."""

        random = streams.generator(seed, 'weights')
        parameters = dict(self.module.named_parameters())
        biases = {f'{name}.bias' for name, layer in self.module.named_modules()
                  if isinstance(layer, (_ConvNd, nn.Linear))}
        drawn = {}
        # Drawn in module order, so that a layer kept out of pruning does not change the draw.
        for name, parameter in parameters.items():
            slot = next(slot for slot in self.layout.slots if slot.name == name)
            if slot.kind != 'other':
                drawn[name] = _glorot_normal(slot, random)
            else:
                drawn[name] = torch.zeros(slot.shape) if name in biases else parameter.detach()
        return self.layout.pack(drawn)

    def fresh_buffers(self) -> Buffers:
        """Initial buffers, such as the running statistics of BatchNorm."""

        return {name: buffer.clone() for name, buffer in self.module.named_buffers()}

    def logits(self, weights: Tensor, buffers: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """The network as a function, in evaluation mode: (N,), {...}, (B, C, H, W) -> (B, classes)."""

        logits: Tensor = functional_call(self.module, {**self.layout.unpack(weights), **buffers}, (images,))
        return logits

    def bound(self, weights: Tensor, buffers: Buffers) -> nn.Module:
        """A module in training mode whose parameters are leaf views into `weights` (N,) and whose buffers are these.

        Splitting one flat leaf inside autograd instead costs 20-30%.
        """

        module = copy.deepcopy(self.module).train()
        for name, view in self.layout.unpack(weights).items():
            owner, _, leaf = name.rpartition('.')
            module.get_submodule(owner).register_parameter(leaf, nn.Parameter(view))
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


def _glorot_normal(slot: Slot, random: torch.Generator) -> Tensor:
    """Gaussian with std √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    outputs, inputs, *kernel = slot.shape
    field = math.prod(kernel)
    return torch.randn(slot.shape, generator=random) * math.sqrt(2 / ((inputs + outputs) * field))
