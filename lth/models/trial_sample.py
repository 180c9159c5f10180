"""The passes by which a user's module is tried: the same weights and images, in the module as torch itself uses it."""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth import rng
from lth.errors import LthError
from lth.models.build import build_module, require_logits
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, Network
from lth.registry import user_code

# Of the passes that are compared: enough for BatchNorm.
IMAGES = 4


class Pass(NamedTuple):
    """What a pass computes: logits (B, classes), and gradients by name, None for unused parameters."""

    logits: Tensor
    gradients: dict[str, Tensor | None]


class Sample:
    """Weights, buffers and images for passes that are compared. All weights differ from the module's own ones."""

    def __init__(self, network: Network) -> None:
        random = rng.generator(0, 'trial')
        self.network, self.name = network, network.settings.name
        self.images = torch.rand(IMAGES, *network.shape, generator=random)
        self.labels = torch.randint(network.classes, (IMAGES,), generator=random)
        weights = network.initial_weights(0)
        noise = torch.rand(2, len(weights), generator=random)
        self.weights = weights * (0.5 + noise[0]) + 0.01 * (noise[1] - 0.5)
        self.buffers = network.initial_buffers()

    def reference(self) -> nn.Module:
        """A new module with these weights and buffers, as torch itself would use it."""

        module = build_module(self.network.settings, self.network.shape, self.network.classes, seed=0)
        tensors = self.network.layout.unpack(self.weights)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(tensors[name])
        return module

    def reference_pass(self) -> tuple[Pass, Tensor]:
        """A training step of such a module, and the logits of another one in evaluation mode."""

        module, other = self.reference(), self.reference()
        with user_code.guard(f'{self.name} in training mode'):
            training = self.training_pass(module.train())
        with rng.seeded_globals(0), user_code.guard(f'{self.name} in evaluation mode'), torch.no_grad():
            return training, other.eval()(self.images)

    def training_pass(self, module: nn.Module, images: Tensor | None = None) -> Pass:
        """The logits and gradients of a training step."""

        images = self.images if images is None else images
        parameters = dict(module.named_parameters())
        with rng.seeded_globals(0), torch.enable_grad():
            logits = module(images)
            require_logits(logits, self.name, (len(images), self.network.classes))
            if not logits.requires_grad:
                raise LthError(f'{self.name}: its logits do not depend on its parameters in a way that can be trained. '
                               'Remove torch.no_grad(), detach() and conversions to other types from forward.')
            labels = self.labels.repeat(-(-len(images) // IMAGES))[:len(images)]
            F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call] # torch has no type
        return Pass(logits.detach(), {name: parameter.grad for name, parameter in parameters.items()})

    def weights_in(self, layout: Layout) -> Tensor:
        """A copy of the weights in the order of a layout: (N,)."""

        return layout.pack(self.network.layout.unpack(self.weights))

    def copy_of_buffers(self) -> Buffers:
        """A copy of the initial buffers."""

        return {name: buffer.clone() for name, buffer in self.buffers.items()}
