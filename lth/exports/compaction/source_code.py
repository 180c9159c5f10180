"""A traced network as a Python file that needs torch only, and its tensors by the names of that file.

To support another layer of torch.nn, add its arguments to `_ARGUMENTS`: the names of attributes that its class takes as
keyword arguments.
"""
import builtins
import copy
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, fx, nn

from lth.errors import LthError, quote
from lth.exports.compaction.graph import OTHER_FORMATS

_CONVOLUTION = ('in_channels', 'out_channels', 'kernel_size', 'stride', 'padding', 'dilation', 'groups', 'padding_mode')
_NORM = ('num_features', 'eps', 'momentum', 'affine', 'track_running_stats')
_POOLING = ('kernel_size', 'stride', 'padding', 'dilation', 'ceil_mode')
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    'Linear': ('in_features', 'out_features'), 'Conv1d': _CONVOLUTION, 'Conv2d': _CONVOLUTION, 'Conv3d': _CONVOLUTION,
    'BatchNorm1d': _NORM, 'BatchNorm2d': _NORM, 'BatchNorm3d': _NORM,
    'LayerNorm': ('normalized_shape', 'eps', 'elementwise_affine'),
    'GroupNorm': ('num_groups', 'num_channels', 'eps', 'affine'),
    'MaxPool2d': _POOLING, 'AvgPool2d': ('kernel_size', 'stride', 'padding', 'ceil_mode', 'count_include_pad'),
    'AdaptiveAvgPool2d': ('output_size',), 'AdaptiveMaxPool2d': ('output_size',),
    'ReLU': ('inplace',), 'ReLU6': ('inplace',), 'LeakyReLU': ('negative_slope', 'inplace'),
    'ELU': ('alpha', 'inplace'), 'SELU': ('inplace',),
    'GELU': ('approximate',), 'SiLU': ('inplace',), 'Tanh': (), 'Sigmoid': (),
    'Hardsigmoid': ('inplace',),
    'Hardswish': ('inplace',), 'Hardtanh': ('min_val', 'max_val', 'inplace'), 'Softmax': ('dim',),
    'Dropout': ('p', 'inplace'), 'Dropout2d': ('p', 'inplace'), 'Identity': (), 'Flatten': ('start_dim', 'end_dim')}
# Layers whose bias is an argument of its own.
_WITH_BIAS = ('Linear', 'Conv1d', 'Conv2d', 'Conv3d', 'LayerNorm')
_HEAD = '''"""{title}

    model = load('model.safetensors')
    logits = model(images)

Written by lth; this file needs torch and safetensors only. README.txt next to it says how images are normalized.
"""
import torch
from torch import nn


class Network(nn.Module):
    """{summary}"""

    def __init__(self):
        super().__init__()
{layers}

{forward}


def load(path):
    """The network with the weights in a .safetensors file, in evaluation mode."""

    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(path))
    return network.eval()
'''


class Source(NamedTuple):
    """A Python file, and the tensors that its network loads."""

    code: str
    tensors: dict[str, Tensor]


def write_source(traced: fx.GraphModule, name: str, title: str, summary: str) -> Source:
    """The network as a file with a class `Network` and a function `load`. LthError, with the layer, if it has a layer
    or calls a function that torch does not have.
    """

    names = _flat_names(traced.graph)
    lines, tensors = list[str](), dict[str, Tensor]()
    for path, flat in names.items():
        value = _attribute(traced, path)
        if isinstance(value, nn.Module):
            lines.append(f'self.{flat} = {_constructor(value, path, name)}')
            tensors |= {f'{flat}.{leaf}': tensor for leaf, tensor in value.state_dict().items()}
        else:
            lines.append(_tensor_definition(flat, value))
            tensors[flat] = value.detach()
    return Source(_HEAD.format(
        title=title, summary=summary, layers='\n'.join(f'        {line}' for line in lines),
        forward=textwrap.indent(_forward(traced.graph, names, name), '    ')), tensors)


def _flat_names(graph: fx.Graph) -> dict[str, str]:
    """A name in Python for the path of each layer and tensor that the operations use: `blocks.0.main` is blocks_0_main.
    """

    names = dict[str, str]()
    for node in graph.nodes:
        if node.op in ('call_module', 'get_attr') and node.target not in names:
            flat = re.sub(r'\W', '_', str(node.target))
            flat = f'layer_{flat}' if flat[0].isdigit() else flat
            while flat in names.values() or hasattr(nn.Module, flat):
                flat += '_'
            names[str(node.target)] = flat
    return names


def _attribute(traced: fx.GraphModule, path: str) -> nn.Module | Tensor:
    owner, _, leaf = path.rpartition('.')
    value: nn.Module | Tensor = getattr(traced.get_submodule(owner), leaf)
    return value


def _constructor(layer: nn.Module, path: str, name: str) -> str:
    """The call that makes a layer of this size, with the arguments that are not the defaults."""

    kind = type(layer)
    if kind.__name__ not in _ARGUMENTS or not kind.__module__.startswith('torch.nn.modules'):
        raise LthError(f'{name} cannot be compacted: its layer {path} is a {quote(kind.__name__)}, for which lth '
                       f'cannot write code that needs torch only. {OTHER_FORMATS}')
    values = {argument: getattr(layer, argument) for argument in _ARGUMENTS[kind.__name__]}
    if kind.__name__ in _WITH_BIAS:
        values['bias'] = layer.bias is not None
    defaults = {key: parameter.default for key, parameter in inspect.signature(kind).parameters.items()}
    given = [f'{key}={value!r}' for key, value in values.items() if not _is_default(value, defaults[key])]
    return f'nn.{kind.__name__}({", ".join(given)})'


def _is_default(value: object, default: object) -> bool:
    return value == default or isinstance(value, tuple) and bool(value) and set(value) == {default}


def _tensor_definition(flat: str, tensor: Tensor) -> str:
    zeros = f'torch.zeros({tuple(tensor.shape)}, dtype={tensor.dtype})'
    if isinstance(tensor, nn.Parameter):
        return f'self.{flat} = nn.Parameter({zeros})'
    return f'self.register_buffer({flat!r}, {zeros})'


def _forward(graph: fx.Graph, names: Mapping[str, str], name: str) -> str:
    """The method `forward`. LthError if it calls a function of another package."""

    renamed = copy.deepcopy(graph)
    for node in renamed.nodes:
        if node.op in ('call_module', 'get_attr'):
            node.target = names[str(node.target)]
    code = renamed.python_code('self')
    others = code.globals.keys() - fx.Graph().python_code('self').globals.keys() - {'torch', *vars(builtins)}
    if others:
        raise LthError(f'{name} cannot be compacted: it calls {quote(min(others))}, for which lth cannot write code '
                       f'that needs torch only. {OTHER_FORMATS}')
    # Some functions of torch.nn.functional are recorded under the private names of what they call.
    lines = code.src.strip().replace('torch._C._nn.', 'torch.nn.functional.').splitlines()
    # fx ends lines with the deletion of what is not needed any more.
    return '\n'.join(re.sub(r';  (?:\w+ = )+None$', '', line).rstrip() for line in lines)
