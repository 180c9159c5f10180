"""BatchNorm over the complete batch of all ranks: two small collectives for each layer, one forward, one backward.

On a GPU it is torch's SyncBatchNorm, which has no code for CPUs.
"""
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.errors import LthError
from lth.training.engines.distributed.ranks import Ranks
from lth.training.engines.exact_batch_norm import update_statistics

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class RankedBatchNorm(_BatchNorm):
    """A BatchNorm layer that normalizes over the images of all ranks."""

    ranks: Ranks

    def forward(self, input: Tensor) -> Tensor:  # pylint: disable=redefined-builtin # torch's name
        """Normalize features (B, C, ...)."""

        if not self.training:
            outputs: Tensor = super().forward(input)
            return outputs
        outputs, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps, self.ranks)
        update_statistics(self, mean, variance, count=int(count))
        return outputs

    def _check_input_dim(self, input: Tensor) -> None:  # pylint: disable=redefined-builtin # torch's name
        """Accept all features: the layer was checked as the one that it replaces."""


def synchronize_batch_norm(module: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Let the BatchNorm layers of a module, which must not be that of the user, normalize over the images of all ranks.
    """

    for layer in module.modules():
        if type(layer) not in _KINDS:
            continue
        if device.type == 'cpu':
            layer.__class__ = RankedBatchNorm
            setattr(layer, 'ranks', ranks)
        else:
            layer.__class__ = nn.SyncBatchNorm
            setattr(layer, 'process_group', ranks.groups[device.type])


def refuse_other_batch_norm(module: nn.Module, name: str) -> None:
    """LthError if the network has a BatchNorm layer that cannot be synchronized, as its code is not known."""

    for path, layer in module.named_modules():
        if isinstance(layer, _BatchNorm) and type(layer) not in _KINDS:
            raise LthError(f'--sync-batch-norm: the layer {path or name} of {name} is {type(layer).__name__}, not one '
                           'of torch\'s BatchNorm1d to BatchNorm3d, whose statistics could be those of all ranks. Use '
                           '--no-sync-batch-norm, or another network.')


class _Normalize(torch.autograd.Function):  # pylint: disable=abstract-method # of other kinds of functions
    """(features, weight, bias, eps, ranks) -> outputs; means, variances and count over all ranks.

    The loss of a rank must be its part of the mean over the complete batch, so that gradients are added up.
    """

    # pylint: disable=arguments-differ # torch declares any arguments

    @staticmethod
    def forward(
            context: Any, features: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks,
    ) -> Any:
        """Each rank has a mean and a sum of squares around it, which are combined without cancellation."""

        values = _rows(features).to(torch.promote_types(features.dtype, torch.float32))
        means = values.mean(0)
        squares = (values - means).square().sum(0)
        count = values.new_full((1,), len(values))
        parts = ranks.collect(torch.cat([means, squares, count]))
        means, squares, counts = parts.split([values.shape[1], values.shape[1], 1], 1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        variance = (squares.sum(0) + (counts * (means - mean).square()).sum(0)) / total
        scale = (variance + eps).rsqrt()
        context.save_for_backward(features, weight, mean, scale, total)
        context.ranks = ranks
        context.mark_non_differentiable(mean, variance, total)
        outputs = (values - mean).mul_(scale if weight is None else scale * weight)
        if bias is not None:
            outputs.add_(bias)
        return _features(outputs, features), mean, variance, total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor, *_others: Tensor) -> Any:  # type: ignore[override]
        """The gradients of weight and bias are those of this rank: they are added up with all others."""

        features, weight, mean, scale, total = context.saved_tensors
        gradients, normalized = _rows(gradient).to(mean.dtype), (_rows(features).to(mean.dtype) - mean) * scale
        sums = torch.stack([gradients.sum(0), (gradients * normalized).sum(0)])
        of_bias, of_weight = sums.clone()
        context.ranks.add(sums)
        means = sums / total
        inputs = (gradients - means[0] - normalized * means[1]) * (scale if weight is None else scale * weight)
        affine = weight is not None
        return (_features(inputs, features), of_weight if affine else None, of_bias if affine else None, None, None)


def _rows(features: Tensor) -> Tensor:
    """(B, C, ...) -> (values of a channel, C); a view of channels_last features, whose sums are pairwise."""

    return features.movedim(1, -1).reshape(-1, features.shape[1])


def _features(rows: Tensor, like: Tensor) -> Tensor:
    """The values in the shape, format and type of these features."""

    moved = rows.view(like.shape[0], *like.shape[2:], like.shape[1]).movedim(-1, 1)
    return torch.empty_like(like).copy_(moved)
