"""Which tensor of a module each tensor of a ticket belongs to: by name, by names that the user gives, or by shape."""
import collections
import warnings
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from lth.errors import LthError, LthWarning, quote, suggestion

Named = Mapping[str, Tensor]
# Of torch.compile, and of nn.DataParallel and DistributedDataParallel.
_WRAPPER, _PARALLEL = '_orig_mod', (nn.DataParallel, nn.parallel.DistributedDataParallel)


def tensors_by_name(module: nn.Module, *, remove_duplicate: bool = True) -> dict[str, Tensor]:
    """All parameters and buffers of a module under the names that they have without torch.compile and DataParallel; a
    tensor that layers share under its first name, or under all of its names.
    """

    inner = module.module if isinstance(module, _PARALLEL) else module
    named = [*inner.named_parameters(remove_duplicate=remove_duplicate),
             *inner.named_buffers(remove_duplicate=remove_duplicate)]
    return {'.'.join(part for part in name.split('.') if part != _WRAPPER): tensor for name, tensor in named}


def match_tensors(ticket: Named, module: nn.Module, names: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """The module's tensor, of the same shape, for each name in the ticket. `names` maps names of layers or tensors in
    the ticket to those in the module; all other names are the same in both. Without `names`, layers with other names
    are matched by the shapes of their tensors, with a warning, if no two layers have the same. LthError that names the
    first tensor that differs.
    """

    own = tensors_by_name(module, remove_duplicate=False)
    pairs = {name: name for name in ticket} if names is None else _rename(ticket, own, names)
    problem = _difference(ticket, module, pairs)
    if problem and names is None and (by_shape := _match_layers(ticket, tensors_by_name(module))):
        pairs, problem = by_shape, ''
        first, second = next((old, new) for old, new in pairs.items() if old != new)
        warnings.warn(f'The tensors of the ticket and of {type(module).__name__} have other names, and were matched by '
                      f'their shapes: {first} is {second}', LthWarning, stacklevel=4)
    if problem:
        raise LthError(f'The ticket does not fit {type(module).__name__}: {problem}. Apply it to a network of the same '
                       'structure. If only names differ, give them: names={"layer in the ticket": "layer in the '
                       'module"}.')
    return {name: own[pairs[name]] for name in ticket}


def _rename(ticket: Named, own: Named, names: Mapping[str, str]) -> dict[str, str]:
    """The name in the module for each name in the ticket, of the longest entry of `names` that fits."""

    _check_names(ticket, own, names)
    pairs = {}
    for name in ticket:
        entry = max((old for old in names if _is_below(name, old)), key=len, default=None)
        pairs[name] = name if entry is None else names[entry] + name.removeprefix(entry)
    if twice := [new for new, count in collections.Counter(pairs.values()).items() if count > 1]:
        first, second, *_ = [old for old, new in pairs.items() if new == twice[0]]
        raise LthError(f'names: {first} and {second} of the ticket would both be {twice[0]} of the module. Give one of '
                       'them another name.')
    return pairs


def _check_names(ticket: Named, own: Named, names: Mapping[str, str]) -> None:
    """LthError unless all names are those of layers or tensors in the ticket and in the module."""

    if not isinstance(names, Mapping) or not all(isinstance(name, str) for pair in names.items() for name in pair):
        raise LthError(f'names: expected a dictionary of strings, not {quote(names)}. Give the names of layers or '
                       'tensors in the ticket, and those in the module.')
    _require_names('ticket', ticket, names)
    _require_names('module', own, names.values())


def _require_names(place: str, tensors: Named, names: Iterable[str]) -> None:
    for name in names:
        if not any(_is_below(tensor, name) for tensor in tensors):
            raise LthError(f'names: the {place} has no layer or tensor {quote(name)}'
                           f'{suggestion(name, _layers(tensors))}')


def _difference(ticket: Named, module: nn.Module, pairs: Mapping[str, str]) -> str:
    """The first tensor that is missing or of another shape in one of the two, with both; '' if there is none."""

    own = tensors_by_name(module, remove_duplicate=False)
    found = {id(own[new]) for new in pairs.values() if new in own}
    extra = [name for name, tensor in tensors_by_name(module).items() if id(tensor) not in found]
    if extra:
        return f'{extra[0]} is absent in the ticket and {shape_in_words(own, extra[0])} in the module'
    for old, new in pairs.items():
        here, there = shape_in_words(ticket, old), shape_in_words(own, new)
        if here != there:
            return f'{old} is {here} in the ticket and {there} in the module' + f', as {new}' * (old != new)
    return ''


def _match_layers(ticket: Named, own: Named) -> dict[str, str]:
    """The name in the module for each name in the ticket, if the shapes of the tensors of a layer decide it; else {}.
    """

    old_layers, new_layers = _layers_by_shapes(ticket), _layers_by_shapes(own)
    if old_layers.keys() != new_layers.keys() or any(
            len(layers) > 1 for layers in (*old_layers.values(), *new_layers.values())):
        return {}
    renamed = {layers[0]: new_layers[shapes][0] for shapes, layers in old_layers.items()}
    return {name: _join(renamed[layer], leaf) for name in ticket for layer, _, leaf in [name.rpartition('.')]}


def _layers_by_shapes(tensors: Named) -> dict[frozenset[tuple[str, tuple[int, ...]]], list[str]]:
    shapes: dict[str, set[tuple[str, tuple[int, ...]]]] = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition('.')
        shapes.setdefault(layer, set()).add((leaf, tuple(tensor.shape)))
    layers: dict[frozenset[tuple[str, tuple[int, ...]]], list[str]] = {}
    for layer, content in shapes.items():
        layers.setdefault(frozenset(content), []).append(layer)
    return layers


def _layers(tensors: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition('.')[0] or name for name in tensors))


def _is_below(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f'{layer}.')


def _join(layer: str, leaf: str) -> str:
    return f'{layer}.{leaf}' if layer else leaf


def shape_in_words(tensors: Named, name: str) -> str:
    """'of shape (10, 5)' for a tensor of this name, 'absent' if there is none."""

    return f'of shape {tuple(tensors[name].shape)}' if name in tensors else 'absent'
