"""What passes of a user's module must not do, and must agree in, so that its vector of parameters is all that counts.
"""
from typing import Any

import torch
from torch import Tensor, nn

from lth.errors import LthError, quote
from lth.models.network import Network
from lth.models.trial_sample import Sample
from lth.registry import user_code

# Kernels of contiguous and channels_last tensors round differently: BatchNorm's gradients by 1%.
_LOGITS, _GRADIENTS = 0.02, 0.2
# Attributes of these kinds are state if they differ after a second pass with equal weights and images.
_NUMBERS = (bool, int, float, str)


def require_same_tensors(module: nn.Module, places: dict[str, tuple[int, int]], name: str) -> None:
    """LthError if a pass replaced a parameter, whose `places` were its id and address, or left a sparse gradient."""

    for key, parameter in module.named_parameters():
        if places.get(key) != (id(parameter), parameter.data_ptr()):
            raise LthError(f'{name}: forward replaces its parameter {key} by another tensor, so training would not '
                           'change it. Compute with the result without assigning it, or change the parameter in place: '
                           'with torch.no_grad(): parameter.copy_(...).')
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            raise LthError(f'{name}: the gradient of {key} is sparse, which no optimizer of lth supports. Use '
                           'nn.Embedding with sparse=False.')


def require_equal(expected: Tensor, found: Tensor, name: str, mode: str) -> None:
    """LthError unless the logits of a mode are those of the module by itself."""

    if not _close(expected, found, tolerance=_LOGITS):
        raise LthError(f'{name}: its logits in {mode} mode do not follow from the parameters and buffers that it '
                       'registers. It may keep a reference to a parameter, or values computed from parameters, in a '
                       'plain attribute, list, closure or global variable, or use random numbers from a generator of '
                       'its own. Read parameters from their layers in forward, and use the global generators.')


def require_equal_gradient(expected: Tensor | None, found: Tensor | None, key: str, name: str) -> None:
    """LthError unless the gradient of the parameter `key` is the one of the module by itself."""

    if (expected is None) != (found is None) or (
            expected is not None and found is not None and not _close(expected, found, tolerance=_GRADIENTS)):
        raise LthError(f'{name}: the gradient of {key} is not the one that the module has by itself. It may be used '
                       'through a second reference to it, in a list, closure or hook. Read it from its layer in '
                       'forward.')


def require_no_state(network: Network, sample: Sample, weights: Tensor) -> None:
    """LthError if equal passes change attributes that no file would hold."""

    states: list[dict[str, Any]] = []
    buffers = sample.copy_of_buffers()
    module = network.bind(weights.clone(), buffers)
    for _ in range(2):
        with torch.no_grad():  # forward may have changed them in place
            for key, parameter in module.named_parameters():
                parameter.copy_(network.layout.unpack(weights)[key])
        for key, buffer in module.named_buffers():
            buffer.copy_(sample.buffers[key])
        with user_code.guard(f'{sample.name} in training mode'):
            sample.training_pass(module)
        states.append(_plain_state(module))
    for place, value in states[1].items():
        before = states[0].get(place)
        if type(before) is not type(value) or not _same(before, value):
            raise LthError(f'{sample.name}: forward changes {place}, which is neither a parameter nor a buffer, so the '
                           'value would be lost when a run is resumed. Register it as a buffer and change it in '
                           'place.')


def _same(before: Any, value: Any) -> bool:
    if isinstance(value, Tensor):
        return before.shape == value.shape and _close(before, value, tolerance=1e-3)
    return bool(before == value)


def _plain_state(module: nn.Module) -> dict[str, Any]:
    """Numbers and tensors in attributes of a module's layers, and the lengths of lists, by place."""

    state: dict[str, Any] = {}
    for path, layer in module.named_modules():
        for attribute, value in vars(layer).items():
            place = f'the attribute {quote(attribute)} of {quote(path) if path else "the module"}'
            if isinstance(value, Tensor):
                state[place] = value.detach().clone()
            elif isinstance(value, torch.Generator):
                state[place] = value.get_state().numpy().tobytes()
            elif isinstance(value, _NUMBERS):
                state[place] = value
            elif isinstance(value, (list, dict, set)) and not attribute.startswith('_'):
                state[place] = len(value)
    return state


def _close(expected: Tensor, found: Tensor, *, tolerance: float) -> bool:
    """Whether two tensors are equal up to rounding, relative to the norm of the first."""

    expected, found = (tensor.to_dense().double().nan_to_num() for tensor in (expected, found))
    if expected.shape != found.shape:
        return False
    return float((expected - found).norm()) <= tolerance * float(expected.norm()) + 1e-5
