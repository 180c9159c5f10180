"""Compile a network's forward and backward pass by torch.compile, and say which layer cannot be compiled."""
import copy
import functools
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from lth.errors import describe
from lth.models.network import Network
from lth.registry import user_code

# pylint: disable=protected-access # torch has no public names for these functions

# One function is compiled for all networks of a process, and one of torch's for all layers; torch stops at 8 versions
# of a function by default.
_MAX_VERSIONS = 256


Function = TypeVar('Function', bound=Callable[..., Any])


@functools.cache
def compiled(function: Function, backend: str = 'inductor') -> Function:
    """A function compiled for each network at its first call: static shapes, no part left to Python.

    Compiled code is kept in this process, and on disk in $TORCHINDUCTOR_CACHE_DIR (~/.cache/lth/inductor if it is not
    set).
    """

    cache = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache')) / 'lth' / 'inductor'
    os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', str(cache))
    machine_code = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        with torch._dynamo.config.patch(recompile_limit=_MAX_VERSIONS):
            return machine_code(*arguments)
    return cast(Function, run)


def count_compiled() -> int:
    """The number of functions that were compiled in this process so far."""

    return int(torch._dynamo.utils.counters['stats']['unique_graphs'])


def compiler_obstacle(device: torch.device) -> str | None:
    """Why nothing can be compiled on this machine; None if a C++ compiler, and for a GPU Triton, are there."""

    names = [name for name in (os.environ.get('CXX'), 'g++', 'clang++', 'c++') if name]
    if not any(map(shutil.which, names)):
        return f'this machine has no C++ compiler ({", ".join(names)})'
    if device.type == 'cuda' and find_spec('triton') is None:
        return 'the package triton is not installed'
    return None


def describe_failure(network: Network, error: Exception) -> str:
    """Why a network cannot be compiled: the cache of compiled code if torch names a file in it, else the layer
    that cannot be traced, if there is one; and torch's reason.
    """

    cache = os.environ.get('TORCHINDUCTOR_CACHE_DIR')
    if cache and cache in str(error):
        return (f'{network.settings.name} cannot be compiled: the cache {cache} of compiled code is corrupt or cannot '
                f'be written, and has to be deleted ({describe(error):.100})')
    name, reason = _untraceable_layer(network) or ('', error)
    lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
    what = f'the layer {name} of ' * bool(name) + network.settings.name
    return f'{what} cannot be compiled: {lines[0].rstrip(".") if lines else type(reason).__name__}'


def _untraceable_layer(network: Network) -> tuple[str, Exception] | None:
    """The name and class of the first layer that cannot be traced, and why; None if each can be alone."""

    for name, layer, inputs in _calls(network):
        try:
            with torch._dynamo.config.patch(recompile_limit=_MAX_VERSIONS):
                torch.compile(layer, fullgraph=True, dynamic=False, backend='eager')(*inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            return f'{name} ({type(layer).__name__})' if name else type(layer).__name__, error
    return None


def _calls(network: Network) -> list[tuple[str, nn.Module, tuple[Any, ...]]]:
    """All modules of a copy of the network with their inputs, inner modules before those that contain them."""

    calls = list[tuple[str, nn.Module, tuple[Any, ...]]]()

    def record(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        return lambda layer, inputs, _output: calls.append((name, layer, inputs))

    module = copy.deepcopy(network.module).train()
    hooks = [layer.register_forward_hook(record(name)) for name, layer in module.named_modules()]
    with torch.random.fork_rng(devices=[]), torch.no_grad(), user_code.guard(network.settings.name):
        module(torch.zeros(2, *network.shape))
    for hook in hooks:
        hook.remove()
    return calls
