"""Rules: how operations carry channels, what they compute from which, and what they make of constant channels.

A rule is a function (flow, call) that returns the feature that the operation computes, or None if it does not know how;
then all channels that the operation reads stay. To add a layer of torch.nn, or a function or method of torch, write a
rule below `@rule` with its name in layer_rules.py or function_rules.py, or add the name to one of the lists there.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from lth.exports.compaction.features import Feature, Flow
from lth.exports.compaction.graph import shape_of


class Call(NamedTuple):
    """An operation: its place in the graph, the layer that it calls, and the features that it reads, as far as their
    channels are known.
    """

    node: fx.Node
    layer: nn.Module | None
    inputs: Sequence[Feature]

    @property
    def path(self) -> str:
        """The path of the layer in the module."""

        return str(self.node.target)

    @property
    def name(self) -> str:
        """The name of the function or method."""

        return str(getattr(self.node.target, '__name__', self.node.target))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it computes, () if that is not a tensor."""

        return shape_of(self.node) or ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of its first input."""

        return shape_of(self.node.all_input_nodes[0]) or ()

    def apply(self, constants: Tensor) -> Tensor:
        """What a function of single numbers makes of constants: (C,) -> (C,)."""

        values, node = constants.clone(), self.node
        function: Any = self.layer if self.layer is not None else node.target
        if node.op == 'call_method':
            function = getattr(torch.Tensor, str(node.target))
        result: Tensor = function(values) if self.layer is not None else function(values, *node.args[1:], **node.kwargs)
        return result


Rule = Callable[[Flow, Call], Feature | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A decorator that adds a rule for the layers, functions or methods with these names."""

    def add(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function
    return add
