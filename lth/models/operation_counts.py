"""How often a module multiplies each of its weights for one image: the basis of all counts of multiply-adds.

A weight of a dense layer is multiplied once for each vector that enters the layer; a weight of a convolution once for
each position of its output, and of a transposed convolution once for each position of its input. Products with the
zeros of the padding count. A weight of a recurrent layer is multiplied once in each step of a sequence, and one of an
embedding never, as its rows are only looked up. Biases, normalization, pooling and products of activations, as in
attention, do not count.

Conv-2 on images of 3 × 32 × 32: the 3 · 3 · 3 · 64 = 1,728 weights of the first layer are multiplied at 32 · 32 = 1,024
positions, which is 1,769,472 multiply-adds.

To count the products of another function of torch, add a function to `_COUNTS`.
"""
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lth import rng
from lth.errors import LthError
from lth.models.requirements import module_copy
from lth.registry import user_code

# Called with the arguments of a function by name, and its output: how often it multiplies each of the weights in them.
_Count = Callable[[Mapping[str, Any], Any], Iterable[tuple[Tensor, int]]]
# Networks are tried with as many images before; some refuse a single one.
_IMAGES = 2


def weight_uses(module: nn.Module, name: str, shape: tuple[int, int, int]) -> dict[str, int]:
    """How often each weight is multiplied for one image of this shape, by the name of the tensor. Weights for which
    this cannot be counted are left out: those that the module of this name multiplies in another way than layers do.
    """

    copied = module_copy(module, name)
    uses = _WeightUses({id(parameter): key for key, parameter in copied.named_parameters()})
    try:
        with torch.no_grad(), rng.seeded_globals(0), user_code.guard(f'Counting the multiply-adds of {name}'), uses:
            copied(torch.zeros(_IMAGES, *shape))
    except LthError:
        return {}
    return {key: count // _IMAGES for key, count in uses.counts.items() if key not in uses.unknown}


class _WeightUses(TorchFunctionMode):
    """A context that counts for each parameter how often its elements are multiplied."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self.counts: Counter[str] = Counter()
        self.unknown: set[str] = set()

    def __torch_function__(
            self, func: Callable[..., Any], types: Iterable[Any], args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None) -> Any:
        options = kwargs or {}
        output = func(*args, **options)
        if func in _COUNTS:
            names, count = _COUNTS[func]
            for weight, number in count(dict(zip(names, args)) | dict(options), output):
                self._add(weight, number)
        return output

    def _add(self, weight: Tensor, number: int) -> None:
        name = self._names.get(id(weight))
        if name is not None and number < 0:
            self.unknown.add(name)
        elif name is not None:
            self.counts[name] += number


def _linear(given: Mapping[str, Any], _output: Tensor) -> Iterable[tuple[Tensor, int]]:
    yield given['weight'], given['input'].numel() // given['weight'].shape[1]


def _convolution(given: Mapping[str, Any], output: Tensor) -> Iterable[tuple[Tensor, int]]:
    yield given['weight'], output.numel() // given['weight'].shape[0]


def _transposed_convolution(given: Mapping[str, Any], _output: Tensor) -> Iterable[tuple[Tensor, int]]:
    yield given['weight'], given['input'].numel() // given['weight'].shape[0]


def _attention(given: Mapping[str, Any], _output: Any) -> Iterable[tuple[Tensor, int]]:
    """The projections of attention. One tensor for all three is counted if queries and keys are equally many."""

    queries, keys = (given[name].numel() // given[name].shape[-1] for name in ('query', 'key'))
    yield given['out_proj_weight'], queries
    if given.get('in_proj_weight') is not None:
        yield given['in_proj_weight'], queries if queries == keys else -1
    for name, count in (('q_proj_weight', queries), ('k_proj_weight', keys), ('v_proj_weight', keys)):
        if given.get(name) is not None:
            yield given[name], count


def _recurrent(given: Mapping[str, Any], _output: Any) -> Iterable[tuple[Tensor, int]]:
    """Weights of input and state, of all layers and directions: each is multiplied once for each vector of the input.
    torch passes packed sequences with their numbers of images as second argument.
    """

    weights = given['third'] if isinstance(given['third'], list) else given['fourth']
    vectors = given['input'].numel() // given['input'].shape[-1]
    return [(weight, vectors) for weight in weights if weight.dim() > 1]


def _recurrent_cell(given: Mapping[str, Any], _output: Any) -> Iterable[tuple[Tensor, int]]:
    vectors = given['input'].numel() // given['input'].shape[-1]
    return [(given['weight_ih'], vectors), (given['weight_hh'], vectors)]


def _embedding(given: Mapping[str, Any], _output: Any) -> Iterable[tuple[Tensor, int]]:
    yield given['weight'], 0


_OF_LAYERS = ('input', 'weight')
_COUNTS: dict[Callable[..., Any], tuple[tuple[str, ...], _Count]] = {
    F.linear: (_OF_LAYERS, _linear),
    **{function: (_OF_LAYERS, _convolution) for function in (F.conv1d, F.conv2d, F.conv3d)},
    **{function: (_OF_LAYERS, _transposed_convolution)
       for function in (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)},
    F.embedding: (_OF_LAYERS, _embedding), F.embedding_bag: (_OF_LAYERS, _embedding),
    **{function: (('input', 'second', 'third', 'fourth'), _recurrent)
       for function in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)},
    **{function: (('input', 'hx', 'weight_ih', 'weight_hh'), _recurrent_cell)
       for function in (torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell)},
    F.multi_head_attention_forward: (
        tuple(inspect.signature(F.multi_head_attention_forward).parameters), _attention)}
