"""What the weight of a layer reads of its inputs, and what constant inputs add to its outputs."""
import torch
from torch import Tensor


def reads(weight: Tensor) -> Tensor:
    """Which inputs each output reads: (O, I, ...) -> (O, I) bool."""

    return weight.flatten(2).any(2) if weight.dim() > 2 else weight != 0


def added_by_constants(weight: Tensor, constants: Tensor) -> Tensor:
    """What inputs of these values at every position add to each output: (O, I, ...), (I,) -> (O,) float64. Only the
    columns of values other than 0 are converted: dense layers after convolutions may have 100 million weights.
    """

    columns = constants.nonzero().flatten()
    kernels = weight[:, columns].double()
    sums = kernels.flatten(2).sum(2) if weight.dim() > 2 else kernels
    result: Tensor = sums @ constants[columns]
    return result


def added_by_constant_channels(weight: Tensor, constants: Tensor) -> Tensor:
    """The same for filters that read one channel each: (C, 1, ...), (C,) -> (C,) float64."""

    return weight.double().flatten(1).sum(1) * constants


def as_constants(values: Tensor, kept: Tensor) -> Tensor:
    """The values of the constant inputs that are not kept, 0 for all others: (I,), (I,) bool -> (I,)."""

    return torch.where(kept, 0., values.nan_to_num())
