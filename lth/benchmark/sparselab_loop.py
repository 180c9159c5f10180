"""A rival on a CPU: the expert's loop with dense layers of the package sparselab, which stores only kept weights."""
import importlib
import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from lth.benchmark.expert_loop import train_steps
from lth.models.network import Network
from lth.training.engines.chains import supported_dense_chain
from lth.training.task import Task


def can_train(network: Network) -> bool:
    """Whether sparselab is installed and has all layers of the network: it has dense layers only."""

    return find_spec('sparselab') is not None and supported_dense_chain(network) is not None


def sparselab_loop(task: Task, density: float, method: str | None = None) -> Iterator[None]:
    """Train the network with random weights, without end: each keeps its place with a probability of `density`. By a
    method, sparselab's own RigL or SET replaces 30% of the weights every 100 iterations.
    """

    # The package brings a copy of OpenMP, which reads its number of threads when it is loaded.
    os.environ['OMP_NUM_THREADS'] = str(torch.get_num_threads())
    sparselab = importlib.import_module('sparselab')
    modules: list[nn.Module] = [nn.Flatten()]
    for weight, bias in supported_dense_chain(task.network) or []:
        units, inputs = weight.shape
        modules += [sparselab.SparseLinear(inputs, units, bias is not None, sparsity=1 - density), nn.ReLU()]
    module = nn.Sequential(*modules[:-1])
    algorithm = {'rigl': sparselab.RigL, 'set': sparselab.SET, None: sparselab.Static}[method](sparsity=1 - density)
    module.apply(algorithm)
    return _steps(task, module, algorithm)


def _steps(task: Task, module: nn.Module, algorithm: Any) -> Iterator[None]:
    for _ in train_steps(task, module, [], []):
        algorithm.step()
        yield
