"""Whether torch can differentiate the gradients of a module again, as far as functions of the user's own decide it.

torch differentiates the `backward` of a torch.autograd.Function like any other code. What it computes outside of the
graph, by detach(), numpy or from values that forward keeps in attributes, is missing in second derivatives, without an
error.
"""
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth import rng
from lth.errors import LthError
from lth.models.network import Network
from lth.models.trial_sample import Sample
from lth.registry import user_code

# In double precision: rounding changes the difference quotients by 1e-7, and of a million ReLUs, 0.01 change sign.
_STEP = 1e-8
_RELATIVE, _ABSOLUTE = 0.01, 1e-6
# Of these directions. A difference in all of them is not due to a ReLU that changes sign.
_DIRECTIONS = 2


def try_second_derivatives(network: Network, sample: Sample) -> None:
    """LthError if second derivatives fail, or lack what functions of the user's own compute."""

    module = network.bind(sample.weights_in(network.layout), sample.copy_of_buffers())
    what = f'The second derivative of {sample.name}, which the algorithm needs,'
    with rng.seeded_globals(0), user_code.guard(what, type(module).forward), sdpa_kernel(SDPBackend.MATH):
        loss = F.cross_entropy(module(sample.images), sample.labels)
        functions = list(_own_functions(loss.grad_fn))
        detached = _detached_gradients(functions, loss, list(module.parameters()))
    if detached is not None:
        raise LthError(f'{what} is incomplete: the backward of its function {_described(detached)} returns a gradient '
                       'that torch cannot differentiate again. Compute it from ctx.saved_tensors and the incoming '
                       'gradient, without detach(), .data, numpy and torch.no_grad().')
    if functions and _differs_from_quotients(network, sample):
        names = ' or '.join(dict.fromkeys(map(_described, functions)))
        raise LthError(f'{what} is not the one that difference quotients give. The backward of its function {names} '
                       'uses values that torch cannot differentiate. Save inputs and outputs by '
                       'ctx.save_for_backward, and compute everything else from them in backward.')


def _own_functions(last: Node | None) -> Iterator[BackwardCFunction]:
    """The calls of functions of the user's own in a graph."""

    nodes, seen = [last], {last}
    while nodes:
        node = nodes.pop()
        if isinstance(node, BackwardCFunction):
            yield node
        below = {parent for parent, _ in node.next_functions} - seen if node is not None else set()
        seen |= below
        nodes += below


def _described(function: BackwardCFunction) -> str:
    kind = type(function)._forward_cls  # type: ignore[attr-defined] # pylint: disable=protected-access # no public name
    return f'{kind.__name__}{user_code.definition_place(kind.backward)}'


def _detached_gradients(
        functions: list[BackwardCFunction], loss: Tensor, parameters: list[nn.Parameter]) -> BackwardCFunction | None:
    """The first function whose backward returns a gradient outside of the graph although it depends on the incoming
    one, which has a graph. A gradient that does not depend on it is a constant, and has no derivative.
    """

    passes: list[dict[int, list[Tensor]]] = []

    def remember(number: int, returned: tuple[Tensor | None, ...], incoming: tuple[Tensor | None, ...]) -> None:
        if any(gradient is not None and gradient.requires_grad for gradient in incoming):
            passes[-1][number] = [gradient for gradient in returned if gradient is not None
                                  and not gradient.requires_grad]
    hooks = [function.register_hook(lambda returned, incoming, number=number: remember(number, returned, incoming))
             for number, function in enumerate(functions)]
    for factor in (1., 2.):
        passes.append({})
        _differentiate_twice(factor * loss, parameters)
    for hook in hooks:
        hook.remove()
    for number, function in enumerate(functions):
        first, second = (one.get(number, []) for one in passes)
        if any(not torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(first, second)):
            return function
    return None


def _differentiate_twice(loss: Tensor, parameters: list[nn.Parameter]) -> None:
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    if not norm.requires_grad:
        return  # gradients outside of the graph, which the caller reports
    # autograd.grad would leave out what once_differentiable forbids, without an error.
    norm.backward(retain_graph=True)  # type: ignore[no-untyped-call] # torch has no type


def _differs_from_quotients(network: Network, sample: Sample) -> bool:
    """Whether second derivatives differ from difference quotients of the gradient although the gradient itself is that
    of the loss. That of a straight-through estimator is not, and code that needs single precision cannot be tried.
    """

    random = rng.generator(0, 'second derivatives')
    weights = sample.weights_in(network.layout).double()
    with contextlib.suppress(LthError), user_code.guard('A pass in double precision'), sdpa_kernel(SDPBackend.MATH):
        return all(_differs(network, sample, weights, torch.randn(len(weights), generator=random).double())
                   for _ in range(_DIRECTIONS))
    return False


def _differs(network: Network, sample: Sample, weights: Tensor, direction: Tensor) -> bool:
    here, ahead, behind = (
        _derivatives(network, sample, weights + step * direction, direction) for step in (0, _STEP, -_STEP))
    if not _close((ahead.loss - behind.loss) / (2 * _STEP), here.slope, least=1.):
        return False
    quotients = [(after - before) / (2 * _STEP)
                 for after, before in zip(ahead.gradient, behind.gradient, strict=True)]
    largest = max(float(quotient.norm()) for quotient in quotients)
    return not all(_close(quotient, change, least=largest)
                   for quotient, change in zip(quotients, here.change, strict=True))


class _Derivatives(NamedTuple):
    """The loss and its gradient with respect to each parameter, and their derivatives along a direction, `slope` and
    `change`.
    """

    loss: Tensor
    gradient: tuple[Tensor, ...]
    slope: Tensor
    change: tuple[Tensor, ...]


def _derivatives(network: Network, sample: Sample, weights: Tensor, direction: Tensor) -> _Derivatives:
    buffers = {name: buffer.double() if buffer.is_floating_point() else buffer
               for name, buffer in sample.copy_of_buffers().items()}
    module = network.bind(weights.clone(), buffers)
    parameters, along = dict(module.named_parameters()), network.layout.unpack(direction)
    with rng.seeded_globals(0):
        loss = F.cross_entropy(module(sample.images.double()), sample.labels)
    gradient = _gradient(loss, parameters)
    slope = torch.stack([(part * along[name]).sum() for name, part in zip(parameters, gradient, strict=True)]).sum()
    change = _gradient(slope, parameters)
    return _Derivatives(loss.detach(), _detached(gradient), slope.detach(), _detached(change))


def _detached(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach() for tensor in tensors)


def _gradient(value: Tensor, parameters: dict[str, nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, list(parameters.values()), create_graph=True, materialize_grads=True)


def _close(quotient: Tensor, derivative: Tensor, *, least: float) -> bool:
    """Whether two tensors are equal up to rounding, which is relative to `least` if they are smaller."""

    return float((quotient - derivative).norm()) <= _RELATIVE * float(quotient.norm()) + _ABSOLUTE * least
