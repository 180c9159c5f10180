"""What a module must be so that one vector can hold its weights, as far as its structure shows it.

What only a pass shows is in trial.py. To add a requirement, write a function (module, name) that raises an LthError
and add it to `_REQUIREMENTS`.
"""
import copy
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from lth.errors import LthError, quote
from lth.registry import user_code

_OWN_ATTRIBUTES = frozenset(vars(nn.Module()))
# Lists in lists of an attribute are searched this deep.
_DEPTH = 4


def require_supported(module: nn.Module, name: str) -> None:
    """LthError, with the layer and the way out, if lth cannot train all that the module computes with."""

    for requirement in _REQUIREMENTS:
        requirement(module, name)


def module_copy(module: nn.Module, name: str) -> nn.Module:
    """A copy of a module. LthError with the attribute that cannot be copied, if there is one."""

    try:
        with user_code.guard(f'Copying {name}'):
            return copy.deepcopy(module)
    except LthError as error:
        raise error.extended(f'lth trains and measures copies of the module{_uncopied(module)}') from None


def without_compilation(module: nn.Module) -> nn.Module:
    """The module without torch.compile around it or around its parts: lth compiles complete steps itself."""

    while hasattr(module, '_orig_mod'):
        module = cast(nn.Module, getattr(module, '_orig_mod'))
    for layer in list(module.modules()):
        setattr(layer, '_compiled_call_impl', None)  # what nn.Module.compile sets
        for path, child in list(layer.named_children()):
            if hasattr(child, '_orig_mod'):
                setattr(layer, path, without_compilation(child))
    return module


def _require_tree(module: nn.Module, name: str) -> None:
    for path, layer in module.named_modules():
        for below, part in layer.named_modules():
            for attribute, child in part.named_children():
                if child is layer:
                    place = '.'.join(word for word in (path, below, attribute) if word)
                    raise LthError(f'{name}: {quote(place)} is a module of which it is a part itself. Store a '
                                   'reference to a parent in a list, so that it is not registered as a part.')


def _require_plain_modules(module: nn.Module, name: str) -> None:
    for path, layer in module.named_modules():
        if isinstance(layer, torch.jit.ScriptModule):
            raise LthError(f'{name}: {_place(path)} is TorchScript, in which lth finds no layers. Return the module '
                           'without torch.jit.')
        if isinstance(layer, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            raise LthError(f'{name}: {_place(path)} is {type(layer).__name__}, but lth distributes work itself. Return '
                           'the module within it.')


def _require_registered_parts(module: nn.Module, name: str) -> None:
    """Parameters in plain attributes would neither be trained nor saved."""

    known = {id(parameter) for parameter in module.parameters()} | {id(part) for part in module.modules()}
    for path, layer in module.named_modules():
        for attribute, value in _plain_attributes(layer):
            for part in _parts(value, _DEPTH):
                if id(part) not in known:
                    _require_no_parameters(part, f'{name}: the attribute {quote(attribute)} of {_place(path)}')


def _require_no_parameters(part: nn.Module | Tensor, what: str) -> None:
    if isinstance(part, nn.Module) and next(part.parameters(), None) is not None:
        raise LthError(f'{what} holds layers ({type(part).__name__}) that torch does not find, so they would neither '
                       'be trained nor saved. Use nn.ModuleList or nn.ModuleDict, or assign the layer to an attribute.')
    if isinstance(part, Tensor) and part.requires_grad:
        if part.is_leaf:
            raise LthError(f'{what} holds a parameter that torch does not find, so it would neither be trained nor '
                           'saved. Use nn.ParameterList or nn.ParameterDict, or assign it to an attribute.')
        raise LthError(f'{what} was computed from parameters when the module was built, so training would not change '
                       'it. Compute it in forward, or use torch.nn.utils.parametrizations.')


def _require_trained_parameters(module: nn.Module, name: str) -> None:
    for path, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise LthError(f'{name}: {path} has no shape before the first forward pass. Replace the lazy '
                           'layer by one of a fixed size.')
        if not parameter.requires_grad:
            raise LthError(f'{name}: {path} is not trained (requires_grad=False), but lth trains all '
                           'parameters. Register it as a buffer.')


def _require_float32(module: nn.Module, name: str) -> None:
    """Double precision is converted before, as it loses nothing that matters."""

    for path, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix('torch.')
            way = ('Store real and imaginary parts as two float32 parameters.' if parameter.is_complex() else
                   'Build it in float32; --precision bf16 computes in bfloat16.')
            raise LthError(f'{name}: the parameter {path} is {kind}, but lth trains and saves float32. {way}')


_REQUIREMENTS = (_require_tree, _require_plain_modules, _require_registered_parts, _require_trained_parameters,
                 _require_float32)


def _uncopied(module: nn.Module) -> str:
    """The attribute that cannot be copied, as the end of a sentence."""

    for path, layer in module.named_modules():
        for attribute, value in _plain_attributes(layer):
            try:
                with user_code.guard(attribute):
                    copy.deepcopy(value)
            except LthError:
                return (f', and the attribute {quote(attribute)} of {_place(path)} cannot be copied. Create it in '
                        'forward, keep it outside of the module, or define __deepcopy__.')
    return '.'


def _plain_attributes(layer: nn.Module) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in vars(layer).items() if name not in _OWN_ATTRIBUTES)


def _parts(value: object, depth: int) -> Iterator[nn.Module | Tensor]:
    """The modules and tensors in a value, also in lists and dictionaries."""

    if isinstance(value, (nn.Module, Tensor)):
        yield value
    elif depth and isinstance(value, (list, tuple, set, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item, depth - 1)


def _place(path: str) -> str:
    return f'its layer {quote(path)}' if path else 'the module'
