"""Models given as Python objects: a factory (shape, classes) -> nn.Module, or a module with weights of its own."""
import copy
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lth.errors import LthError
from lth.models.hooks import copy_hooks
from lth.registry import objects, user_code

Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class ModuleCopies:
    """A factory that returns copies of one module: the module's weights are the initial weights of every seed."""

    module: nn.Module

    def __call__(self, _shape: tuple[int, int, int], _classes: int) -> nn.Module:
        module = copy.deepcopy(self.module)
        copy_hooks(self.module, module)
        return module


def register_model(model: nn.Module | Factory) -> str:
    """A name for the model, for use wherever a model is named.

    The name of a factory has a digest of its source code; the name of a module has a digest of its structure, source
    code, parameters and buffers. A module is copied, so later changes to it have no effect. Raises LthError for
    anything else.
    """

    if isinstance(model, nn.Module):
        with user_code.guard(f'Copying the model {type(model).__name__}'):
            module = copy.deepcopy(model).cpu()
            copy_hooks(model, module)
        return objects.register(type(model).__name__, _module_digest(module), ModuleCopies(module))
    if not callable(model):
        raise LthError(f'The model is of type {type(model).__name__}. Give the name of a model, a torch.nn.Module, or '
                       'a function (shape, classes) that returns a torch.nn.Module.')
    factory = getattr(model, 'func', model)  # the function within a functools.partial
    label = getattr(factory, '__name__', type(factory).__name__)
    digest = hashlib.blake2b(objects.source_code(factory).encode(), digest_size=4)
    return objects.register(label, digest.hexdigest(), model)


def describe_structure(model: Any, module: nn.Module) -> str:
    """What a module computes, as text: its repr, and the source code of the model and of the module's classes.

    Memory addresses are removed, so the text is the same in every process.
    """

    classes = {type(layer) for layer in module.modules() if not type(layer).__module__.startswith('torch.')}
    sources = sorted(map(objects.source_code, classes))
    return '\n'.join([re.sub(r' at 0x[0-9a-f]+', '', repr(module)), objects.source_code(model), *sources])


def _module_digest(module: nn.Module) -> str:
    digest = hashlib.blake2b(describe_structure(None, module).encode(), digest_size=4)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f'{name} {tuple(tensor.shape)} {tensor.dtype}'.encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
