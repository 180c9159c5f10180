"""The pass of several replicates of a convolutional network in which each convolution is one kernel for all of them.

It is an alternative to branches.py, where each replicate has kernels of its own.
"""
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from lth.models.network import Buffers, Network
from lth.training.engines.backward import Backward
from lth.training.engines.batches import Batches, EpochTensors, Preprocessing, read_batch
from lth.training.engines.cuda.branches import Result, aligned_rows
from lth.training.engines.cuda.stacked_layers import make_stacked_layers
from lth.training.engines.cuda.step_counters import count_step, remove_step_counters, step_counters

StackedForward = Callable[
    [nn.Module, Mapping[str, Tensor], Buffers, Tensor, Tensor, EpochTensors, Preprocessing, Tensor], Result]


def stacked_forward(  # pylint: disable=too-many-arguments,too-many-positional-arguments # compilers see tensors only
        module: nn.Module, parameters: Mapping[str, Tensor], buffers: Buffers, images: Tensor, labels: Tensor,
        epoch: EpochTensors, preprocessing: Preprocessing, columns: Tensor) -> Result:
    """The mean losses (R,) of a module with parameters and buffers (R, ...) on the batch in these columns (B,)
    of an epoch, and the numbers of correct predictions (R,). The last five arguments are those of `read_batch`.
    """

    inputs, targets = read_batch(images, labels, epoch, preprocessing, columns)
    # The order of the kernels in memory, so that forward and backward need no copy.
    inputs = inputs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    result: Result = vmap(partial(_forward, module))(parameters, buffers, inputs, targets)
    return result


def make_stacked_pass(
        network: Network, weights: Tensor, buffers: Buffers, batches: Batches, *,
        run_forward: StackedForward = stacked_forward, low_precision: torch.dtype | None = None) -> Backward:
    """The pass of a network for these weights (R, N) and buffers (R, ...) in place.

    Its parameters are views (R, ...) of all replicates, which only `FusedOptimizer` can update: torch.optim takes views
    with gaps for dense memory. With `low_precision` the weights of convolutions and dense layers are read from a copy
    in this type, which has to be updated with the weights. Networks with random numbers cannot be stacked.
    """

    module = make_stacked_layers(network.module)
    remove_step_counters(module)
    names = step_counters(network.module)
    counters, statistics = [buffers[name] for name in names], {**buffers}
    for name in names:
        del statistics[name]
    width, copied = network.layout.weight_count, None
    if low_precision:
        copied = aligned_rows(weights[:, :width].to(low_precision))
    parameters = {slot.name: slot.view(weights if copied is None or slot.stop > width else copied).detach()
                  for slot in network.layout.slots}
    leaves = [parameter.requires_grad_() for parameter in parameters.values()]
    images, labels = batches.task.data.train
    assert isinstance(images, Tensor), 'streamed images are not captured'

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        count_step(counters)
        losses, correct = run_forward(
            module, parameters, statistics, images, labels, batches.epoch, batches.preprocessing, columns)
        # Not `backward`: it would copy the gradients of views with gaps into another order.
        for leaf, gradient in zip(leaves, torch.autograd.grad(losses.sum(), leaves), strict=True):
            leaf.grad = gradient
        return losses.detach(), correct
    return Backward(leaves, lambda vector: list(network.layout.unpack(vector).values()), run, copied)


def _forward(
        module: nn.Module, parameters: Mapping[str, Tensor], buffers: Buffers, images: Tensor, labels: Tensor,
) -> Result:
    """The loss and the number of correct predictions of one replicate."""

    logits = functional_call(module, {**parameters, **buffers}, (images,)).float()
    return F.cross_entropy(logits, labels), (logits.detach().argmax(1) == labels).sum()
