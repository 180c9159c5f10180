"""The format `csr`: the weights of dense layers as sparse matrices, in compressed sparse rows."""
import warnings
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from lth.exports.export_format import EXPORT_FORMATS, Exported, Loaded
from lth.exports.exported_network import ExportedNetwork
from lth.exports.python_files import import_file
from lth.system import tensor_files

_WEIGHTS, _CODE = 'model.safetensors', 'csr_layers.py'
_SOURCE = '''"""Dense layers with sparse weights, and the module that has them.

    module = load_into(module, 'model.safetensors')
    logits = module(images)

Written by lth; this file needs torch and safetensors only. A sparse weight W is stored as three tensors, in compressed
sparse rows: W.crow (where each row starts), W.col (the columns of its weights) and W.values.
"""
import torch
from torch import nn


class SparseLinear(nn.Module):
    """A dense layer whose weight is a sparse matrix (outputs, inputs)."""

    def __init__(self, shape, crow, col, values, bias):
        super().__init__()
        self.shape = tuple(shape)
        for name, tensor in (('crow', crow), ('col', col), ('values', values), ('bias', bias)):
            self.register_buffer(name, tensor)

    def forward(self, features):
        weight = torch.sparse_csr_tensor(self.crow, self.col, self.values, self.shape, check_invariants=False)
        rows = features.reshape(-1, self.shape[1])
        outputs = (weight @ rows.T).T
        outputs = outputs if self.bias is None else outputs + self.bias
        return outputs.reshape(*features.shape[:-1], self.shape[0])


def load_into(module, path):
    """The module, in evaluation mode, with the tensors of a file: its dense layers are replaced by sparse ones where
    the file has a sparse weight. It must have the structure of the exported network.
    """

    from safetensors.torch import load_file

    tensors = load_file(path)
    for name in [key.removesuffix('.weight.crow') for key in tensors if key.endswith('.weight.crow')]:
        owner, _, leaf = name.rpartition('.')
        parts = [tensors.pop(f'{name}.weight.{part}') for part in ('crow', 'col', 'values')]
        layer = module.get_submodule(name)
        sparse = SparseLinear(layer.weight.shape, *parts, tensors.pop(f'{name}.bias', None))
        setattr(module.get_submodule(owner), leaf, sparse)
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    others = [name for name in missing if not isinstance(module.get_submodule(name.rpartition('.')[0]), SparseLinear)]
    if others or unexpected:
        raise ValueError(f'The module is another one: missing {others}, unexpected {unexpected}.')
    return module.eval()
'''
_USAGE = '''
from csr_layers import load_into

module = ...  # the module of {model}, with the names that are in the file
module = load_into(module, 'model.safetensors')
logits = module(images)
'''


@EXPORT_FORMATS.register('csr')
def csr(network: ExportedNetwork) -> Exported:
    """The pruned weights of dense layers as sparse matrices (compressed sparse rows), everything else dense."""

    state, layers = network.state_dict(), _sparse_layers(network)
    for name in layers:
        state |= _sparse_parts(f'{name}.weight', state.pop(f'{name}.weight'))
    notes = () if layers else (f'{network.name} has no dense layer that is pruned, so all of its weights are dense',)
    files = {_WEIGHTS: tensor_files.encode(state, network.facts), _CODE: _SOURCE.encode()}
    return Exported(files, partial(_load, network), _USAGE.format(model=network.name), {'sparse_layers': layers}, notes)


def _sparse_layers(network: ExportedNetwork) -> list[str]:
    """The pruned dense layers whose weight nothing else reads. Subclasses, as in attention, may not call forward."""

    state = network.module.state_dict(keep_vars=True)
    owners = [id(tensor) for tensor in state.values()]
    return [path for path, layer in network.module.named_modules(remove_duplicate=False)
            if type(layer) is nn.Linear  # pylint: disable=unidiomatic-typecheck # see above
            and f'{path}.weight' in network.masks and owners.count(id(layer.weight)) == 1]


def _sparse_parts(name: str, weight: Tensor) -> dict[str, Tensor]:
    """The three tensors of a sparse weight. A weight of value 0 needs no entry."""

    rows, columns = weight.nonzero(as_tuple=True)
    ends = rows.bincount(minlength=len(weight)).cumsum(0)
    index = torch.int32 if weight.numel() < 2 ** 31 else torch.int64
    crow = torch.cat([ends.new_zeros(1), ends]).to(index)
    return {f'{name}.crow': crow, f'{name}.col': columns.to(index), f'{name}.values': weight[rows, columns]}


def _load(network: ExportedNetwork, folder: Path) -> Loaded:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the first sparse tensor, that its support is in a beta state
        torch.eye(1).to_sparse_csr()
    code: ModuleType = import_file(folder / _CODE)
    return Loaded.of(code.load_into(network.fresh_module(), folder / _WEIGHTS))
