"""Whether the flow of SynFlow is conserved in a network: whether its layers are homogeneous.

Tanaka et al. 2020 (section 4) define synaptic flow for layers whose output is proportional to their input if this is
positive: dense layers and convolutions without bias, ReLU, pooling, shortcuts, concatenation, and BatchNorm in
evaluation mode. A LayerNorm has the same output however large its input is, and so has the softmax of attention:
weights before them would get no flow, or a negative one. To refuse another function, add it to `_FUNCTIONS`.
"""
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lth import rng
from lth.errors import LthError
from lth.models.network import Network
from lth.models.requirements import module_copy
from lth.registry import user_code

_FUNCTIONS: Mapping[Callable[..., Any], str] = {
    **dict.fromkeys((F.layer_norm, torch.layer_norm), 'LayerNorm'), F.rms_norm: 'RMSNorm',
    **dict.fromkeys((F.group_norm, torch.group_norm), 'GroupNorm'), F.instance_norm: 'InstanceNorm',
    F.local_response_norm: 'local response normalization', F.normalize: 'a normalization',
    F.scaled_dot_product_attention: 'attention', F.multi_head_attention_forward: 'attention',
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax, F.log_softmax, torch.log_softmax, Tensor.log_softmax),
                    'softmax'),
    F.gelu: 'GELU', F.silu: 'SiLU', F.mish: 'Mish', F.elu: 'ELU', F.selu: 'SELU', F.celu: 'CELU',
    F.softplus: 'softplus', F.softsign: 'softsign', F.hardswish: 'hardswish', F.hardsigmoid: 'hardsigmoid',
    **dict.fromkeys((torch.tanh, Tensor.tanh, F.tanh), 'tanh'),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, F.sigmoid), 'sigmoid'),
    **dict.fromkeys((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.lstm_cell, torch.gru_cell,
                     torch.rnn_tanh_cell, torch.rnn_relu_cell), 'a recurrent layer')}


def refuse_other_layers(network: Network, algorithm: str) -> None:
    """LthError with the layer if a network has one that is not homogeneous. Found by passing a black image; not if the
    network computes such a function by arithmetic.
    """

    module, name = module_copy(network.module, network.settings.name).eval(), network.settings.name
    watch = _Watch()
    hooks = [layer.register_forward_pre_hook(lambda _layer, _inputs, path=path: watch.enter(path))  # type: ignore[misc]
             for path, layer in module.named_modules() if path]
    with torch.no_grad(), rng.seeded_globals(0), user_code.guard(name), watch:
        module(torch.zeros(1, *network.shape))
    for hook in hooks:
        hook.remove()
    if watch.found:
        path, function = watch.found
        place = f' in or after its layer {path}' if path else ''
        raise LthError(f'{algorithm} cannot be used with {name}, which computes {function}{place}. It scores weights '
                       'by a flow that only layers conserve whose output is proportional to their input, such as '
                       'convolutions, dense layers and ReLU. Use another algorithm, such as snip or grasp.')


class _Watch(TorchFunctionMode):
    """A context that remembers the first function that is not homogeneous, and the layer that was entered last."""

    def __init__(self) -> None:
        super().__init__()
        self.found: tuple[str, str] | None = None
        self._path = ''

    def enter(self, path: str) -> None:
        """A layer is called."""

        self._path = path

    def __torch_function__(
            self, func: Callable[..., Any], types: Iterable[Any], args: tuple[Any, ...] = (),
            kwargs: Mapping[str, Any] | None = None) -> Any:
        if self.found is None and func in _FUNCTIONS:
            self.found = self._path, _FUNCTIONS[func]
        return func(*args, **(kwargs or {}))
