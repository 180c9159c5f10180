"""The pass of one rank: forward and backward on its part of the batch, then one sum over all ranks.

For example, rank 1 of 3 has the images 2 and 3 of a batch of 8. Its loss is the sum of their losses over 8, so that the
sum over ranks is the loss of the batch and the sum of the gradients its gradient, also if the parts are not equal.
"""
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.models.network import Buffers, Network
from lth.training.engines.backward import Backward, single_backward
from lth.training.engines.batches import Batches
from lth.training.engines.distributed.ranks import Ranks
from lth.training.engines.distributed.sync_batch_norm import synchronize_batch_norm
from lth.training.engines.exact_batch_norm import use_exact_batch_norm
from lth.training.engines.step import StepParts
from lth.training.task import Task


def sharded_parts(ranks: Ranks, *, sync_batch_norm: bool) -> StepParts:
    """The parts of a step in which this rank computes its part of each batch."""

    backward = partial(_make_sharded_backward, ranks, sync_batch_norm)
    return StepParts(backward, batches=partial(_make_batches, ranks))


def shard(count: int, ranks: Ranks) -> slice:
    """The part of this rank of `count` items in order; parts differ by one item at most."""

    return slice(ranks.rank * count // ranks.size, (ranks.rank + 1) * count // ranks.size)


def _make_batches(ranks: Ranks, task: Task, dtype: torch.dtype) -> Batches:
    return Batches(task, dtype, shard(task.training.batch_size, ranks))


def _make_sharded_backward(
        ranks: Ranks, sync_batch_norm: bool, network: Network, weights: Tensor, buffers: Buffers, batches: Batches,
) -> Backward:
    """The pass of one network for its weights (1, N). The gradients that it leaves are views into one vector.

    This vector is [gradient (N), running statistics of BatchNorm layers that are not synchronized, loss, number of
    correct predictions], as one collective of this size takes less time than several.
    """

    assert len(weights) == 1, 'ranks train one network after the other'
    batch = batches.task.training.batch_size
    convert: Callable[[nn.Module], object] = use_exact_batch_norm
    if sync_batch_norm:
        convert = partial(synchronize_batch_norm, ranks=ranks, device=weights.device)
    own = single_backward(network, weights, buffers, batches, loss=partial(_part_of_mean, batch), convert=convert)
    statistics = [] if sync_batch_norm else [buffers[name][0] for name in _running_statistics(network.module)]
    sizes = [network.layout.size, *(tensor.numel() for tensor in statistics), 1, 1]
    vector = weights.new_zeros(sum(sizes))
    gradient, *sums, loss_sum, correct_sum = vector.split(sizes)
    gradients = list(network.layout.unpack(gradient).values())
    sums = [part.view(tensor.shape) for part, tensor in zip(sums, statistics, strict=True)]
    # Parameters that no rank uses have no gradient, so that optimizers leave them as they are.
    used = [slot.name not in network.unused for slot in network.layout.slots]

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        loss, correct = own.run(columns)
        vector.zero_()
        _copy(gradients, [parameter.grad for parameter in own.parameters])
        _copy(sums, statistics)
        for total in sums:
            total.mul_(len(columns) / batch)
        loss_sum.copy_(loss)
        correct_sum.copy_(correct)
        ranks.add(vector)
        _copy(statistics, sums)
        for parameter, view, is_used in zip(own.parameters, gradients, used, strict=True):
            parameter.grad = view if is_used else None
        return loss_sum.clone(), correct_sum.round().to(torch.int64)
    return own._replace(run=run)


def _part_of_mean(batch: int, logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction='sum') / batch


def _running_statistics(module: nn.Module) -> list[str]:
    """The names of the buffers that BatchNorm layers compute from the images of a batch."""

    layers = [name for name, layer in module.named_modules()
              if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    return [f'{name}.{leaf}'.lstrip('.') for name in layers for leaf in ('running_mean', 'running_var')]


def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor | None]) -> None:
    """Copy all sources that are there."""

    pairs = [(target, source) for target, source in zip(targets, sources, strict=True) if source is not None]
    if pairs:
        torch._foreach_copy_(  # pylint: disable=protected-access # has no public name
            [target for target, _ in pairs], [source for _, source in pairs])
