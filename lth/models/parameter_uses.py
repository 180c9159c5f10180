"""In which order a forward pass uses the parameters of a module, read from the graph of autograd."""
import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.autograd.graph import Node

from lth import rng
from lth.errors import LthError
from lth.registry import user_code


def parameters_by_use(module: nn.Module, shape: tuple[int, int, int], *, images: int = 2) -> tuple[str, ...]:
    """Names of the parameters on which the logits depend, in the order in which a pass with black images last uses
    them; () if no gradient can be computed, which trial.py refuses. Layers whose results do not reach the logits, such
    as those of auxiliary losses, are left out, and weights count without a call of their layer.
    """

    names = {id(parameter): name for name, parameter in module.named_parameters()}
    with rng.seeded_globals(0), contextlib.suppress(LthError), user_code.guard('forward'), torch.enable_grad():
        logits = module(torch.zeros(images, *shape))
        numbers: dict[str, int] = {}
        for parameter, number in _uses(logits.grad_fn):
            if parameter in names:
                numbers[names[parameter]] = max(number, numbers.get(names[parameter], -1))
        return tuple(sorted(numbers, key=lambda name: numbers[name]))
    return ()


def _uses(last: Node | None) -> Iterator[tuple[int, int]]:
    """The id of each parameter that a graph reads, with the number of the operation that reads it. Operations are
    numbered in the order in which they were computed.
    """

    nodes, seen = [last] if last is not None else [], {last}
    while nodes:
        node = nodes.pop()
        for below, _ in node.next_functions:
            if below is None:
                continue
            variable = getattr(below, 'variable', None)
            if variable is not None:
                yield id(variable), node._sequence_nr()  # pylint: disable=protected-access # torch has no public name
            elif below not in seen:
                seen.add(below)
                nodes.append(below)
