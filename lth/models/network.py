"""A network as a function of its flat parameter vector: initial weights, logits, and modules that share the vector."""
import copy
import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd

from lth import rng
from lth.models.build import build_module, build_with_notes, named_tensors, probe_module
from lth.models.flat_parameters import Layout
from lth.models.hooks import copy_hooks
from lth.models.initializers import find_initializer
from lth.models.layer_kinds import ExtraKind
from lth.models.objects import ModuleCopies, describe_structure
from lth.models.operation_counts import weight_uses
from lth.models.memory_estimate import LimitParameters, refuse_large_features
from lth.models.parameter_uses import parameters_by_use
from lth.models.registry import MODELS, OWN, Shape
from lth.models.requirements import module_copy
from lth.recipes.schema import ModelSettings
from lth.registry import user_code
from lth.registry.objects import is_object

Buffers = dict[str, Tensor]
# Kinds of layers whose weights no initializer sets, pruned or not: gates and rows have no fan-in of their own.
_OWN_VALUES = ('recurrent', 'embedding', 'other')
_NORMALIZATION = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def replicate_buffers(buffers: Buffers, replicate: int) -> Buffers:
    """The buffers of one replicate: (R, ...) -> (...)."""

    return {name: buffer[replicate] for name, buffer in buffers.items()}


@dataclass(frozen=True)
class Network:
    """A module's structure and the layout of its parameter vector. Weights and buffers are passed to the methods; the
    module's own values are used only where `initial_weights` and `initial_buffers` say so.

    `stochastic`: whether it uses random numbers in training, as dropout does; `noisy`: whether it does so in evaluation
    mode too. `unused`: parameters that training does not use. `notes`: what the user should know about the module.
    """

    module: nn.Module
    layout: Layout
    shape: Shape
    classes: int
    settings: ModelSettings
    stochastic: bool = False
    noisy: bool = False
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(settings: ModelSettings, shape: Shape, classes: int, keep_out: tuple[str, ...] = (),
           also_prune: tuple[ExtraKind, ...] = ()) -> 'Network':
        """The network of the settings, for images of `shape` in `classes` classes. Layers of the kinds in `also_prune`
        are prunable too, and those that match `keep_out` are not. LthError if the model cannot be built or does not fit
        the images.
        """

        what = f'{settings.name} for images of {shape[1]} × {shape[2]} pixels'
        with LimitParameters(what), warnings.catch_warnings():
            # Layers without weights, for images that are too small, are an error below.
            warnings.filterwarnings('ignore', message='Initializing zero-element tensors')
            module, notes = build_with_notes(settings, shape, classes, seed=0)
        registered = Layout.of(module, keep_out, also_prune=also_prune)
        with user_code.guard(settings.name):
            training = module_copy(module, settings.name).train()
            module.eval()
        refuse_large_features(training, settings.name, shape, images=2)
        stochastic = probe_module(training, settings.name, shape, classes)
        network = Network(module, registered, shape, classes, settings, stochastic, notes=notes)
        if not network.has_user_code:
            return network  # its output layer is registered last
        layout = Layout.of(module, keep_out, parameters_by_use(training, shape), also_prune)
        return replace(network, layout=layout, notes=(*notes, *_notes_on_output(settings.name, registered, layout)))

    def with_last_registered_output(
            self, keep_out: tuple[str, ...], also_prune: tuple[ExtraKind, ...] = ()) -> 'Network':
        """The network with the layer that is registered last as output layer."""

        layout = Layout.of(self.module, keep_out, also_prune=also_prune)
        return replace(self, layout=layout if self.layout.slots[0].channels_last else layout.contiguous())

    @property
    def stackable(self) -> bool:
        """Whether replicates are faster as batched matrix products: for built-in models of dense layers only."""

        convolves = any(isinstance(layer, _ConvNd) for layer in self.module.modules())
        return not (convolves or self.stochastic or self.has_user_code or dict(self.module.named_buffers()))

    @property
    def has_batch_norm(self) -> bool:
        """Whether it has BatchNorm layers."""

        return any(isinstance(layer, _BatchNorm) for layer in self.module.modules())

    @cached_property
    def scales(self) -> tuple[tuple[str, str | None], ...]:
        """The names of the scale γ and the shift β of each normalization layer that has a scale; None for a shift that
        is missing.
        """

        names = {id(parameter): name for name, parameter in self.module.named_parameters()}
        layers = (layer for layer in self.module.modules() if isinstance(layer, _NORMALIZATION))
        pairs = [(names.get(id(layer.weight), ''), names.get(id(layer.bias))) for layer in layers]
        return tuple(dict.fromkeys(pair for pair in pairs if pair[0]))

    @cached_property
    def weight_uses(self) -> dict[str, int | None]:
        """How often each weight of a layer that can be pruned is multiplied for one image, by the name of the tensor.
        None where it cannot be counted.
        """

        counts: dict[str, int | None] = {**weight_uses(self.module, self.settings.name, self.shape)}
        counts |= dict.fromkeys(self.unused, 0)
        return {slot.name: counts.get(slot.name) for slot in self.layout.slots if slot.kind != 'other'}

    @property
    def fingerprint(self) -> str:
        """Digest of the names, shapes and prunability of all parameters, and of the code of a user's model."""

        slots = [(slot.name, slot.shape, slot.prunable) for slot in self.layout.slots]
        digest = hashlib.blake2b(repr(slots).encode(), digest_size=12)
        if is_object(self.settings.name):
            digest.update(describe_structure(MODELS.find(self.settings.name), self.module).encode())
        elif MODELS.is_foreign(self.settings.name):
            digest.update(MODELS.source(self.settings.name))
        return digest.hexdigest()

    @property
    def has_user_code(self) -> bool:
        """Whether it runs code of users, plug-ins or timm, which engines cannot stack or capture safely: networks of
        timm keep values that they compute, as some users' do.
        """

        name = self.settings.name
        return not (MODELS.is_builtin(name) or name.startswith('torchvision:'))

    @property
    def has_foreign_code(self) -> bool:
        """Whether it runs code that is not of lth: that of users, of plug-ins, of torchvision or of
        timm.
        """

        return not MODELS.is_builtin(self.settings.name)

    @property
    def has_fixed_weights(self) -> bool:
        """Whether every seed starts from the same weights: those of the module that was given as the model."""

        return self.settings.initializer == OWN and isinstance(MODELS.find(self.settings.name), ModuleCopies)

    def initial_weights(self, seed: int) -> Tensor:
        """Initial values of all parameters: (N,). The initializer sets the weights of convolutions and dense layers;
        their biases are 0. All other parameters (of BatchNorm, recurrent layers and embeddings; with the initializer
        `own`, all) are set by the model's code, seeded with `seed`.
        """

        initializer, random = self.settings.initializer, rng.generator(seed, 'weights')
        module = build_module(self.settings, self.shape, self.classes, seed=seed)
        values = {name: parameter.detach() for name, parameter in module.named_parameters()}
        if initializer == OWN:
            return self.layout.pack(values)
        slots = {slot.name: slot for slot in self.layout.slots}
        biases = {f'{name}.bias' for name, layer in module.named_modules() if isinstance(layer, (_ConvNd, nn.Linear))}
        # In module order, so that the random numbers of a weight do not depend on which layers are kept out of pruning.
        for name in values:
            if slots[name].kind not in _OWN_VALUES:
                values[name] = find_initializer(initializer)(slots[name], random) * self.settings.initializer_gain
            elif name in biases:
                values[name] = torch.zeros(slots[name].shape)
        return self.layout.pack(values)

    def initial_buffers(self, seed: int = 0) -> Buffers:
        """Initial buffers, such as the running statistics of BatchNorm, as the model's code makes them for a seed."""

        module = self.module if seed == 0 else build_module(self.settings, self.shape, self.classes, seed=seed)
        return {name: buffer.clone() for name, buffer in module.named_buffers()}

    def logits(self, weights: Tensor, buffers: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Logits in evaluation mode: weights (N,), buffers, images (B, C, H, W) -> (B, classes). A user's module may
        change weights and buffers, or keep values that it computes: it gets copies, and starts anew each time.
        """

        if not self.has_user_code:
            logits: Tensor = functional_call(self.module, {**self.layout.unpack(weights), **buffers}, (images,))
            return logits
        tensors = self.layout.unpack(weights.clone()) | {name: buffer.clone() for name, buffer in buffers.items()}
        logits = functional_call(self._without_state(), tensors, (images,))
        return logits

    def _without_state(self) -> nn.Module:
        """A copy of the module, without copies of its tensors: only its attributes are its own."""

        shared = {id(tensor): tensor for tensor in (*self.module.parameters(), *self.module.buffers())}
        return copy.deepcopy(self.module, shared)

    def bind(self, weights: Tensor, buffers: Buffers, copied: Tensor | None = None) -> nn.Module:
        """A module in training mode whose parameters are views into `weights` (N,), each a leaf of autograd, and whose
        buffers are `buffers`. (With the vector as the only leaf, splitting it inside autograd costs 20-30%.) With
        `copied`, a copy of the first weights in another precision, the first parameters are views into the copy.
        """

        module = module_copy(self.module, self.settings.name).train()
        tensors = self.layout.unpack(weights) | (self.layout.unpack(copied) if copied is not None else {})
        values = {name: nn.Parameter(view) for name, view in tensors.items()} | buffers
        # A tensor that layers share has several names, but one value.
        first_names = {id(tensor): name for name, tensor in named_tensors(module)}
        for name, tensor in named_tensors(module, remove_duplicate=False):
            owner, _, leaf = name.rpartition('.')
            setattr(module.get_submodule(owner), leaf, values.get(first_names[id(tensor)], tensor))
        copy_hooks(self.module, module)
        for layer in module.modules():
            if isinstance(layer, nn.Flatten):
                layer.register_forward_pre_hook(_channels_last_gradient)
        return module


def _notes_on_output(name: str, registered: Layout, used: Layout) -> list[str]:
    if used.output_name == registered.output_name:
        return []
    return [f'{name}: the output layer is {used.output_name}, which forward uses last, not {registered.output_name}, '
            'which is registered last']


def _channels_last_gradient(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Convert the gradient before an nn.Flatten to channels_last, the format of the features. Pooling and ReLU are many
    times slower if the formats of features and gradient differ.
    """

    features = inputs[0]
    if torch.compiler.is_compiling():
        return  # the compiler chooses formats itself
    if features.requires_grad and features.is_contiguous(memory_format=torch.channels_last):
        features.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
