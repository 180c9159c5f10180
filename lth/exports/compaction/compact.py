"""A network without the units and channels that carry nothing."""
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lth.exports.compaction.flow import find_flow
from lth.exports.compaction.graph import trace
from lth.exports.compaction.removal import find_kept
from lth.exports.compaction.slicing import LayerSize, slice_layers
from lth.exports.compaction.source_code import Source, write_source


class Compacted(NamedTuple):
    """A compacted network as a Python file with its tensors, its number of parameters, the sizes of its layers in the
    order of execution, and the operations whose inputs stay complete (`kept_for`), as they mix or count channels.
    """

    source: Source
    parameters: int
    sizes: list[LayerSize]
    kept_for: list[str]

    @property
    def units(self) -> int:
        """Units and channels of the network before."""

        return sum(size.outputs for size in self.sizes)

    @property
    def left(self) -> int:
        """Units and channels that are left."""

        return sum(size.left for size in self.sizes)


@torch.no_grad()
def compact(module: nn.Module, images: Tensor, name: str, title: str = '') -> Compacted:
    """A module in evaluation mode without the units and channels that carry nothing; its images are like these (B, C,
    H, W), which only their shape matters of. LthError, with the layer and the reason, if it cannot be compacted.
    """

    traced = trace(module, images, name)
    flow = find_flow(traced)
    weights = {layer.path: module.get_parameter(f'{layer.path}.weight').detach() for layer in flow.layers}
    sliced, sizes = slice_layers(traced, flow, find_kept(flow, weights))
    removed = sum(size.outputs - size.left for size in sizes)
    summary = f'{name} without {removed:,} of {sum(size.outputs for size in sizes):,} units and channels.'
    source = write_source(sliced, name, title or summary, summary)
    count = sum(parameter.numel() for parameter in sliced.parameters())
    return Compacted(source, count, sizes, list(flow.kept_for))
