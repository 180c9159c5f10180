"""Evaluation in parts: each rank measures its share of the images, and the sums are added up.

No image counts twice, also where the number of images is no multiple of the number of ranks.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth.models.network import replicate_buffers
from lth.training.engines import metrics
from lth.training.engines.distributed.ranks import Ranks
from lth.training.engines.distributed.sharded_pass import shard
from lth.training.engines.dropout_rng import same_noise
from lth.training.state import Metrics, State
from lth.training.task import Task


def evaluate(ranks: Ranks, task: Task, state: State, indices: Sequence[Tensor] | None) -> Metrics:
    """Each replicate's metrics, as `Engine.evaluate`, the same on all ranks."""

    split = task.data.test if indices is None else task.data.train
    if indices is None:
        indices = [torch.arange(len(split.labels))] * len(state.weights)
    rows = list[tuple[float, float]]()
    for replicate, weights in enumerate(state.weights):
        own = indices[replicate][shard(len(indices[replicate]), ranks)]
        sums = torch.zeros(2, dtype=torch.float64, device=weights.device)
        if len(own):
            buffers = replicate_buffers(state.buffers, replicate)
            with same_noise(task, replicate):
                sums.copy_(metrics.summed_metrics(task, weights, buffers, split, own))
        _check_equally_often(ranks, task, len(own), len(indices[replicate]))
        ranks.add(sums)
        loss, correct = (sums / len(indices[replicate])).tolist()
        rows.append((loss, correct))
    return Metrics(*zip(*rows, strict=True))


def reestimate_batch_norm(ranks: Ranks, task: Task, state: State, *, at_most: int = 10_000) -> State:
    """The state with BatchNorm's running statistics computed again, as `Engine.reestimate_batch_norm`.

    Each rank computes them from all of these images. Those of rank 0 are used, as GPUs may round differently.
    """

    estimated = metrics.reestimate_batch_norm(task, state, at_most=at_most)
    buffers = {name: buffer.contiguous() for name, buffer in estimated.buffers.items()}
    for buffer in buffers.values():
        ranks.copy_from_first(buffer)
    return replace(estimated, buffers=buffers)


def _check_equally_often(ranks: Ranks, task: Task, own: int, count: int) -> None:
    """Look for signals as often as the rank with most batches: all ranks have to do it together."""

    size = metrics.evaluation_batch_size(task.network)
    for _ in range(-(-own // size), -(-(-(-count // ranks.size)) // size)):
        metrics.check(task)
