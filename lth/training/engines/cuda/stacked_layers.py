"""Layers that run once for all replicates under vmap, where torch's own rules would copy or not run.

To stack another kind of layer, write such a class and a case in `stacked_class`.
"""
import copy

import torch
from torch import Tensor, nn

from lth.training.engines.cuda.stacked_convolutions import convolution

# A program of the kernels holds all channels of its positions.
_MAX_CHANNELS = 64


class StackedConv2d(nn.Conv2d):
    """An nn.Conv2d that convolves once for all replicates under vmap."""

    def forward(self, input: Tensor) -> Tensor:  # pylint: disable=redefined-builtin # torch's name
        """Convolve images (B, C, H, W); under autocast in its precision."""

        weights, kind = self.weight, input.device.type
        if torch.is_autocast_enabled(kind):
            input, weights = (tensor.to(torch.get_autocast_dtype(kind)) for tensor in (input, weights))
        outputs: Tensor = convolution(input[None], weights[None], self.stride[0])[0]
        return outputs if self.bias is None else outputs + self.bias.to(outputs.dtype)[:, None, None]


class StackedBatchNorm2d(nn.BatchNorm2d):
    """An nn.BatchNorm2d written as sums and products, which vmap stacks in any order in memory. For torch's own
    operator it brings all channels of all replicates together, a copy of the activations, and bf16 fails on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:  # pylint: disable=redefined-builtin # torch's name
        """Normalize images (B, C, H, W) in float32, and update the statistics. In training only."""

        assert self.training, 'replicates are evaluated one by one'
        values, count = input.float(), input.numel() // input.shape[1]
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        if self.running_mean is not None and self.running_var is not None and self.momentum is not None:
            self.running_mean.mul_(1 - self.momentum).add_(mean.detach(), alpha=self.momentum)
            unbiased = self.momentum * count / (count - 1)
            self.running_var.mul_(1 - self.momentum).add_(variance.detach(), alpha=unbiased)
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        return (values * scale[:, None, None] + shift[:, None, None]).to(input.dtype)


def make_stacked_layers(module: nn.Module) -> nn.Module:
    """A copy of a module in training mode, with layers that run once for all replicates under vmap."""

    module = copy.deepcopy(module).train()
    for layer in module.modules():
        if kind := stacked_class(layer):
            # The layer keeps its parameters, its hooks and all its places in the module.
            layer.__class__ = kind
    return module


def stacked_class(layer: nn.Module) -> type[nn.Module] | None:
    """The class that replaces a layer's: for BatchNorm, and for convolutions of 1×1 and 3×3 with stride 1 or 2,
    padding by zeros to the same size, one group, and at most 64 channels. None for others, also for subclasses, which
    may compute something else.
    """

    if type(layer) is nn.BatchNorm2d:  # pylint: disable=unidiomatic-typecheck
        return StackedBatchNorm2d if layer.momentum is not None else None
    if type(layer) is not nn.Conv2d:  # pylint: disable=unidiomatic-typecheck
        return None
    shape = layer.kernel_size, layer.padding
    fits = shape in (((3, 3), (1, 1)), ((1, 1), (0, 0))) and layer.stride in ((1, 1), (2, 2))
    plain = (layer.groups, layer.dilation, layer.padding_mode) == (1, (1, 1), 'zeros')
    return StackedConv2d if fits and plain and max(layer.in_channels, layer.out_channels) <= _MAX_CHANNELS else None
