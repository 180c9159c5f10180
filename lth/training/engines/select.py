"""The engines: how a span of steps is executed. The only place that knows devices, vmap, autocast, capture and threads.

The plain engine is the oracle of all others. A new engine is a file here whose class fulfils `task.Engine`, and a line
in `chosen`.
"""
import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from lth.errors import LthError
from lth.models.network import Network
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.eager import Eager
from lth.training.engines.sparse_cpu.engine import SparseCpu, compile_kernels, sparse_obstacle
from lth.training.task import Engine, EngineChoice

# Names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# How many replicates one graph trains at most.
_STACK = 64

# Kernels that are in numba's cache are there in 0.2 s.
_SECONDS_UNTIL_TOLD = 1.

__all__ = [
    'CudaGraph', 'Eager', 'SparseCpu', 'compile_ahead', 'default_precision', 'replicate_groups', 'select_engine',
    'sparse_obstacle']


def select_engine(
        device: str, *, threads: int, capturable: bool = True, choice: EngineChoice = 'auto',
        obstacle: str | None = 'it is not known what is trained') -> Engine:  # pylint: disable=redefined-outer-name
    """The fastest engine of a device: `auto`, `cpu`, `cuda` or `cuda:1`; for steps that can be captured, if nothing in
    them comes from the host: no noise that is seeded for each step, no pictures that are streamed; and for sparse ones,
    if there is no `obstacle`. Or the engine of one's choice, an LthError if it cannot do this.

    Pins the CPU's threads, since bits depend on their number.
    """

    torch.set_num_threads(threads)
    # Adam's moments sink below 1e-38, where processors are slow: 1.97 ms for LeNet's step after 3,000, not 1.33.
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    place = _resolve_device(device)
    if place.type == 'cuda':
        # Streams, captures and waits are the current device's.
        torch.cuda.set_device(place)
        obstacle = 'it runs on the CPU'
    if choice == 'sparse' and obstacle:
        raise LthError(f'--engine sparse is not for this: {obstacle}. Use --engine auto.')
    if choice != 'plain' and obstacle is None:
        return SparseCpu(place, always=choice == 'sparse')
    return CudaGraph(place) if place.type == 'cuda' and capturable and choice != 'plain' else Eager(place)


def compile_ahead(
        engine: Engine, network: Network, kept: Sequence[int], batch_size: int, tell: Callable[[str], None]) -> None:
    """Compiles what is to be compiled before networks with so many weights left are trained; told if it takes a while,
    as it does the first time on a machine.
    """

    if not isinstance(engine, SparseCpu) or not any(engine.expects(network, count, batch_size) for count in kept):
        return
    sentence = 'Compiling the sparse engine: some seconds, the first time only'
    told = threading.Timer(_SECONDS_UNTIL_TOLD, tell, [sentence])
    told.start()
    try:
        compile_kernels()
    finally:
        told.cancel()


def default_precision(device: str, network: Network) -> Literal['fp32', 'tf32', 'bf16']:
    """What a network is trained in on a device unless the recipe says otherwise. On a GPU: dense layers alone in fp32,
    with convolutions in tf32, with BatchNorm, which takes roundings in its stride, in bf16. On a CPU always fp32.
    """

    if _resolve_device(device).type == 'cpu' or network.stackable:
        return 'fp32'
    return 'bf16' if network.has_batch_norm else 'tf32'


def replicate_groups(engine: Engine, network: Network, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Which seeds train as one stack: up to 64 where stacking pays (dense layers, captured on a GPU), else each alone.
    """

    if isinstance(engine, CudaGraph) and network.stackable:
        return [tuple(seeds[start:start + _STACK]) for start in range(0, len(seeds), _STACK)]
    return [(seed,) for seed in seeds]


def _keep_freed_memory() -> None:
    """Lets glibc use freed memory again instead of handing it back: page faults took a third of the time of measuring
    Conv-2.
    """

    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _resolve_device(device: str) -> torch.device:
    name = device if device != 'auto' else 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        place = torch.device(name)
    except RuntimeError:
        place = torch.device('meta')
    if place.type not in ('cpu', 'cuda'):
        raise LthError(f'Unknown device {device!r}: choose auto, cpu, cuda, or one GPU of several as cuda:1.')
    if place.type == 'cuda' and (place.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise LthError(f'--device {device}: there is no such GPU here, torch {torch.__version__} sees '
                       f'{found or "none"}. Use --device cpu, or install a torch build and a driver that match the '
                       'card.')
    return place
