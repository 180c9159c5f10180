"""Which channels of a network can be removed without changing what it computes.

A channel stays if an output that stays reads it with a weight that is not 0 and cannot take it over as a constant. So
the channels that stay are found from the logits backwards, again and again until no more are found: shortcuts let a
channel be read by layers before it. For example, of `relu(dense1)` -> `dense2` a unit of dense1 goes if its column of
dense2 is 0 (nothing reads it), or if its row of dense1 is 0 (it is relu(bias), which the biases of dense2 take over).
"""
from collections.abc import Mapping

import torch
from torch import Tensor

from lth.exports.compaction.features import Flow, Layer
from lth.exports.compaction.weights import reads


class Kept:
    """Which channels stay, by their numbers."""

    def __init__(self, flow: Flow) -> None:
        self._roots = flow.channels.roots()
        self._stays = torch.zeros(len(self._roots), dtype=torch.bool)

    def __call__(self, numbers: Tensor) -> Tensor:
        """Which of the channels stay: (C,) -> (C,) bool."""

        return self._stays[self._roots[numbers]]

    def keep(self, numbers: Tensor) -> bool:
        """Let the channels stay. Whether one of them did not before."""

        new = not bool(self(numbers).all())
        self._stays[self._roots[numbers]] = True
        return new


def find_kept(flow: Flow, weights: Mapping[str, Tensor]) -> Kept:
    """The channels that must stay, with the weight of each layer of the flow by its path. Each layer keeps at least one
    output, as layers without any cannot be built.
    """

    kept = Kept(flow)
    for numbers in flow.pinned:
        kept.keep(numbers)
    readers = [(layer, layer.inputs, reads(weights[layer.path]))
               for layer in reversed(flow.layers) if layer.inputs is not None]
    while sum(_keep_read(kept, *reader) for reader in readers) or _keep_one_output(kept, flow):
        pass
    return kept


def _keep_read(kept: Kept, layer: Layer, inputs: Tensor, read: Tensor) -> bool:
    """Let the inputs stay that the outputs of a layer need, read (O, I). Whether there are new ones."""

    needed = read[kept(layer.outputs)].any(0) & layer.folded.isnan()
    return kept.keep(inputs[needed])


def _keep_one_output(kept: Kept, flow: Flow) -> bool:
    """Let the first output of the last layer stay that would keep none. Whether there is one."""

    empty = (layer for layer in reversed(flow.layers) if not kept(layer.outputs).any())
    layer = next(empty, None)
    return layer is not None and kept.keep(layer.outputs[:1])
