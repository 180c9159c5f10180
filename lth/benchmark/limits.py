"""The limits of a device, and how much of them a training step needs at least.

To add a card, add a line to the table, with the figures of its data sheet without structured sparsity.
"""
import copy
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.registry import user_code
from lth.training.engines.network_size import network_size
from lth.training.engines.optimizers import state_vectors

# TFLOP/s of the cards below in these precisions.
_PRECISIONS = 'fp32', 'tf32', 'bf16'
# Part of the card's name: TB/s of its memory, and TFLOP/s. The first name that fits decides.
_CARDS = {
    'H200': (4.8, 67., 495., 989.), 'H100 PCIe': (2., 51., 378., 756.), 'H100 NVL': (3.9, 60., 417., 835.),
    'H100': (3.35, 67., 495., 989.), 'A100-SXM4-80GB': (2.04, 19.5, 156., 312.), 'A100 80GB': (1.94, 19.5, 156., 312.),
    'A100': (1.555, 19.5, 156., 312.)}
_REPEATS = 5


class Limits(NamedTuple):
    """Bytes and floating-point operations per second; `source` says where they are from."""

    bytes_per_second: float
    flops_per_second: float
    source: str


class Work(NamedTuple):
    """The bytes that a step moves at least, and its floating-point operations."""

    bytes: float
    flops: float


def device_limits(device: torch.device, precision: str) -> Limits:
    """The limits in the data sheet of a known GPU; of another device those of a large copy and a matrix product."""

    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else ''
    for part, (terabytes, *teraflops) in _CARDS.items():
        if f' {part}' in name:
            return Limits(terabytes * 1e12, teraflops[_PRECISIONS.index(precision)] * 1e12, name)
    return _measured_limits(device, torch.bfloat16 if precision == 'bf16' else torch.float32)


def step_work(network: Network, training: TrainingSettings, *, kept: float = 1.) -> Work:
    """The work of a step on one network of which a share of the weights is computed.

    Backward takes twice the operations of forward. The optimizer reads weight, gradient and its state, and writes
    weight and state. Activations and their gradients are written and read once.
    """

    module = copy.deepcopy(network.module).eval()
    with FlopCounterMode(display=False) as counter, torch.random.fork_rng(devices=[]), torch.no_grad(), user_code.guard(
            network.settings.name):
        module(torch.zeros(1, *network.shape))
    optimizer = 4 * (3 + 2 * len(state_vectors(training.optimizer))) * network.layout.size
    width = 2 if training.precision == 'bf16' else 4
    activations = 4 * width * network_size(network).activations * training.batch_size
    return Work(kept * optimizer + activations, kept * 3 * counter.get_total_flops() * training.batch_size)


def _measured_limits(device: torch.device, dtype: torch.dtype) -> Limits:
    size, numbers = (1024, 16_000_000) if device.type == 'cpu' else (4096, 256_000_000)
    source, target = torch.rand(numbers, device=device), torch.empty(numbers, device=device)
    left = torch.rand(size, size, device=device).to(dtype)
    copying, product = _shortest_time(lambda: target.copy_(source), device), _shortest_time(lambda: left @ left, device)
    return Limits(8 * numbers / copying, 2 * size ** 3 / product, 'measured by a copy and a matrix product')


def _shortest_time(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of some repetitions."""

    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
