"""A module as a graph of operations, traced by torch.fx, with the shapes of all features."""
from typing import Any

import torch
from torch import Tensor, fx, nn

from lth.errors import LthError, excerpt
from lth.registry import user_code

# Every refusal ends with it.
OTHER_FORMATS = 'The other formats still export this model.'


class _Tracer(fx.Tracer):
    """A tracer that knows the layer in which it is."""

    layer = ''

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace the call of a layer."""

        self.layer = self.path_of_module(m)
        return super().call_module(m, forward, args, kwargs)


def trace(module: nn.Module, images: Tensor, name: str) -> fx.GraphModule:
    """The operations of a module in evaluation mode, with the shapes that features have for these images (B, C, H, W)
    in `shape_of`. The layers are those of the module. LthError, with the layer, if its operations depend on values.
    """

    tracer = _Tracer()
    try:
        with user_code.guard('torch.fx'):
            graph = tracer.trace(module)
    except LthError as error:
        place = f'near its layer {tracer.layer}' if tracer.layer else 'at its first layer'
        raise LthError(f'{name} cannot be compacted: {place}, its operations depend on values or cannot be traced: '
                       f'{excerpt(error)} {OTHER_FORMATS}') from None
    for node in graph.nodes:
        node.type = None
    traced = fx.GraphModule(module, graph)
    with torch.no_grad(), user_code.guard(name):
        _Shapes(traced).run(images)
    return traced


class _Shapes(fx.Interpreter):
    """Runs a graph and records the shapes of all features."""

    def run_node(self, n: fx.Node) -> Any:
        """Run an operation."""

        result = super().run_node(n)
        n.meta['shape'] = tuple(result.shape) if isinstance(result, Tensor) else None
        return result


def shape_of(node: fx.Node) -> tuple[int, ...] | None:
    """The shape of what an operation computes; None if that is not a tensor."""

    shape: tuple[int, ...] | None = node.meta['shape']
    return shape
