"""Passes of networks as the CUDA engine captures them: batch, forward and backward in one region that can be compiled.

Several replicates are parallel branches: each has a pass of its own, and on a GPU a stream of its own, forked and
joined within a captured graph. Four branches have 1.6 times the throughput of one, eight 2.0 times (a prototype on an
H100): the convolutions of small networks leave much of a GPU idle.
"""
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth.models.network import Buffers, Network, replicate_buffers
from lth.training.engines.backward import Backward
from lth.training.engines.batches import Batches, EpochTensors, Preprocessing, read_batch
from lth.training.engines.cuda.step_counters import count_step, remove_step_counters, step_counters
from lth.training.engines.exact_batch_norm import use_exact_batch_norm

# The loss of a batch, and the number of correct predictions.
Result = tuple[Tensor, Tensor]
Forward = Callable[[nn.Module, Tensor, Tensor, EpochTensors, Preprocessing, Tensor], Result]


def forward(
        module: nn.Module, images: Tensor, labels: Tensor, epoch: EpochTensors, preprocessing: Preprocessing,
        columns: Tensor) -> Result:
    """A network's mean loss on the batch in these columns (B,) of an epoch, and its number of correct ones.

    The arguments are those of `read_batch`, R = 1. One function for all networks and replicates, so that what was
    compiled for one replicate serves all.
    """

    inputs, targets = read_batch(images, labels, epoch, preprocessing, columns)
    logits = module(inputs[0].contiguous(memory_format=torch.channels_last)).float()
    return F.cross_entropy(logits, targets[0]), (logits.detach().argmax(1) == targets[0]).sum()


def make_branches(
        network: Network, weights: Tensor, buffers: Buffers, batches: Batches, *, run_forward: Forward = forward,
        low_precision: torch.dtype | None = None) -> Backward:
    """The pass of a network for these weights (R, N) and buffers (R, ...) in place, a branch for each replicate.

    With `low_precision` the weights of convolutions and dense layers are read from a copy in this type, which has to
    be updated with the weights: no layer then casts its weights, in any step.
    """

    copied = None
    if low_precision:
        copied = aligned_rows(weights[:, :network.layout.weight_count].to(low_precision))
    modules = [_bind(network, row, weights, buffers, copied) for row in range(len(weights))]
    parameters = [_parameters(network, module) for module in modules]
    counters = [buffers[name] for name in step_counters(network.module)]
    images, labels = batches.task.data.train
    assert isinstance(images, Tensor), 'streamed images are not captured'
    streams = _make_streams(weights)

    def run_branch(row: int, columns: Tensor) -> Result:
        for parameter in parameters[row]:
            parameter.grad = None
        loss, correct = run_forward(
            modules[row], images, labels, batches.epoch.replicate(row), batches.preprocessing, columns)
        loss.backward()
        return loss.detach(), correct

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        count_step(counters)
        branches = [partial(run_branch, row, columns) for row in range(len(modules))]
        losses, correct = zip(*_run_parallel(branches, streams), strict=True)
        return torch.stack(losses), torch.stack(correct)

    def views(vector: Tensor) -> list[Tensor]:
        return [view for row in vector for view in network.layout.unpack(row).values()]
    return Backward([parameter for row in parameters for parameter in row], views, run, copied)


def aligned_rows(tensor: Tensor) -> Tensor:
    """A copy of a tensor (R, n) whose rows start at multiples of 256 bytes.

    Compiled code reads 16 bytes at once from tensors that were aligned when it was compiled, and copies others first.
    """

    multiple = 256 // tensor.element_size()
    width = -(-tensor.shape[1] // multiple) * multiple
    rows = tensor.new_zeros(len(tensor), width)[:, :tensor.shape[1]]
    return rows.copy_(tensor)


def _bind(network: Network, row: int, weights: Tensor, buffers: Buffers, copied: Tensor | None) -> nn.Module:
    """The module of one replicate, without counters of steps: these are counted once for all layers.

    On a CPU its BatchNorm layers are those of the eager engine.
    """

    own_copied = None if copied is None else copied[row]
    module = network.bind(weights[row], replicate_buffers(buffers, row), own_copied)
    remove_step_counters(module)
    if not weights.is_cuda:
        use_exact_batch_norm(module)
    return module


def _parameters(network: Network, module: nn.Module) -> list[Tensor]:
    named = dict(module.named_parameters())
    return [named[slot.name] for slot in network.layout.slots]


def _make_streams(weights: Tensor) -> list[torch.cuda.Stream]:
    """A stream for each of several replicates (R, N) on a GPU."""

    return [torch.cuda.Stream(weights.device) for _ in weights if weights.is_cuda and len(weights) > 1]


def _run_parallel(functions: Sequence[Callable[[], Result]], streams: Sequence[torch.cuda.Stream]) -> list[Result]:
    """Call the functions, each on its stream if there are any, between a fork of the current stream and a join."""

    if not streams:
        return [function() for function in functions]
    current, results = torch.cuda.current_stream(), []
    for function, stream in zip(functions, streams, strict=True):
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            results.append(function())
    for stream in streams:
        current.wait_stream(stream)
    return results
