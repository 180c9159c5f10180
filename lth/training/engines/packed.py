"""Packing: the optimizer of a ticket steps only the remaining weights, and has no state for pruned ones.

Where many weights are pruned, as in stacked replicates, these are most of what a dense step reads and writes.
"""
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lth.training.state import State

# With fewer pruned weights, stepping them too is faster than capturing a step for each mask.
_MIN_PRUNED = 1_000_000


@dataclass(frozen=True)
class Packing:
    """Where the K trainable weights of each replicate lie among its N weights: positions (R, K).

    For example, with positions [[0, 3]] the weights [[5, 0, 0, 7]] are packed as [[5, 7]]. `held` (R, N) holds the
    values of all other weights.
    """

    positions: Tensor
    held: Tensor

    def pack(self, vector: Tensor) -> Tensor:
        """The values at the positions: (R, N) -> (R, K)."""

        return vector.gather(1, self.positions)

    def unpack(self, packed: Tensor, out: Tensor) -> Tensor:
        """Write packed values (R, K) to their positions in `out` (R, N), and return it."""

        return out.scatter_(1, self.positions, packed)

    def pack_state(self, state: State) -> State:
        """The state with packed weights and a packed optimizer state."""

        optimizer = {name: tensor if name == 'step' else self.pack(tensor) for name, tensor in state.optimizer.items()}
        return replace(state, weights=self.pack(state.weights), optimizer=optimizer)

    def unpack_state(self, state: State) -> State:
        """The state of all weights; the optimizer's state of held weights is 0."""

        optimizer = {name: tensor if name == 'step' else self.unpack(tensor, torch.zeros_like(self.held))
                     for name, tensor in state.optimizer.items()}
        return replace(state, weights=self.unpack(state.weights, self.held.clone()), optimizer=optimizer)


def make_packing(state: State, trainable: Tensor, *, min_pruned: int = _MIN_PRUNED) -> Packing | None:
    """A packing of the weights in `trainable` (R, N); None if that is slower than stepping all weights.

    It needs at least `min_pruned` weights outside, and the same number of trainable weights in every replicate.
    """

    counts = trainable.sum(1)
    if int((~trainable).sum()) < min_pruned or bool((counts != counts[0]).any()):
        return None
    return Packing(trainable.nonzero()[:, 1].view(len(trainable), -1), state.weights.clone())
