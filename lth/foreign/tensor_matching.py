"""Which tensor of another program belongs to each tensor of a network: by name, or by the order of the layers.

State dicts have the layers in the order in which they are registered. If names differ, the layers of both are compared
one by one: they belong together if all of them have tensors of the same names within the layer and the same shapes.
"""
import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from lth.errors import LthError, quote
from lth.foreign.forms import Named

# A counter that nothing depends on; older versions of torch did not save it.
_COUNTER = 'num_batches_tracked'
Layers = dict[str, dict[str, Tensor]]


def match_names(module: nn.Module, found: Named, what: str, names: Sequence[str] = ()) -> dict[str, str]:
    """The name in the checkpoint for each parameter and buffer of the module. `names` are pairs OLD=NEW of names of
    layers in the checkpoint and in the module. LthError that names the first tensors that differ, with their shapes.
    """

    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    _check_names(names, own, found)
    renamed = {_rename(name, names): name for name in found}
    differing = {name for name in own.keys() ^ renamed.keys() if not name.endswith(_COUNTER)}
    if not differing:
        return {name: renamed[name] for name in own if name in renamed}
    if names:
        first = min(differing)
        place = 'network' if first in own else 'checkpoint, as --names calls it,'
        raise _misfit(what, f'{quote(first)} of the {place} has no counterpart')
    return _match_layers(_layers(own), _layers(found), what)


def fit_shape(tensor: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """The tensor in this shape, also for a 1×1 convolution in the place of a dense layer; None if it differs."""

    return tensor.reshape(shape) if _plain_shape(tensor.shape) == _plain_shape(shape) else None


def _check_names(names: Sequence[str], own: Mapping[str, Tensor], found: Named) -> None:
    """LthError unless all pairs are OLD=NEW, of layers or tensors in the checkpoint and in the module."""

    for pair in names:
        for name, tensors, place in zip(pair.partition('=')[::2], (found, own), ('checkpoint', 'model'), strict=True):
            if not any(name == tensor or (name and tensor.startswith(f'{name}.')) for tensor in tensors):
                layers = list(dict.fromkeys(tensor.rpartition('.')[0] for tensor in tensors))
                raise LthError(f'--names {quote(pair)}: the {place} lacks the layer {quote(name)}. Write OLD=NEW, the '
                               f'names in the files and in the model; its layers are {", ".join(layers[:20])}.')


def _rename(name: str, names: Sequence[str]) -> str:
    for pair in names:
        old, _, new = pair.partition('=')
        if name == old or name.startswith(f'{old}.'):
            return new + name.removeprefix(old)
    return name


def _match_layers(own: Layers, found: Layers, what: str) -> dict[str, str]:
    pairs = dict[str, str]()
    for first, second in itertools.zip_longest(own, found):
        if first is None or second is None:
            layer, place = (second, 'checkpoint') if first is None else (first, 'network')
            raise _misfit(what, f'{_described(layer, (found if first is None else own)[layer])} of the {place} has no '
                                'counterpart')
        ours, theirs = own[first], found[second]
        if {leaf: _plain_shape(tensor.shape) for leaf, tensor in ours.items()} != {
                leaf: _plain_shape(tensor.shape) for leaf, tensor in theirs.items()}:
            raise _misfit(what, f'{_described(second, theirs)} of the checkpoint is in the place of '
                                f'{_described(first, ours)} of the network')
        pairs |= {_join(first, leaf): _join(second, leaf) for leaf in ours}
    return pairs


def _misfit(what: str, problem: str) -> LthError:
    return LthError(f'{what} does not fit the network: {problem}. Choose the model and its settings with --model and '
                    '--set model.KEY=VALUE, a model of your own with --model path/to/file.py:function, or say which '
                    'layers belong together with --names OLD=NEW,….')


def _layers(tensors: Mapping[str, Tensor]) -> Layers:
    """The tensors of each layer by their names in it, in the order of the layers."""

    layers: Layers = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition('.')
        if leaf != _COUNTER:
            layers.setdefault(layer, {})[leaf] = tensor
    return layers


def _described(layer: str, tensors: Mapping[str, Tensor]) -> str:
    shapes = ', '.join(f'{leaf} {tuple(tensors[leaf].shape)}' for leaf in sorted(tensors))
    return f'{quote(layer)} ({shapes})'


def _plain_shape(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[:2]) if len(shape) == 4 and tuple(shape[2:]) == (1, 1) else tuple(shape)


def _join(layer: str, leaf: str) -> str:
    return f'{layer}.{leaf}' if layer else leaf
