"""Only what trains, packed: the optimizer of a ticket steps the weights that are left, and keeps a state of no others.

Where pruned weights are many, as in stacked replicates, that is most of what a dense step reads and writes.
"""
from dataclasses import dataclass, replace

from torch import Tensor

from lth.training.task import State

# Below so many numbers that do not train, stepping them too is cheaper than a capture for each mask.
_WORTH = 1_000_000


@dataclass(frozen=True)
class PackedWeights:
    """What is learned is the weights in these places, K of each replicate: (R, K). Fulfils `task.Parametrization`."""

    places: Tensor
    frozen: Tensor
    decay: float = 0.

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """Learned weights in their places among the frozen ones: (R, K) -> (R, N)."""

        return (self.frozen.clone() if out is None else out).scatter_(1, self.places, learned)

    def gradient(self, _learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """Their part of the gradient: (R, N) -> into (R, K)."""

        assert start == 0, 'survivors lie all over the vector'
        out.copy_(gradient.gather(1, self.places))

    def project(self, _learned: Tensor) -> None:
        """Weights may be anywhere."""

    def packed(self, state: State) -> State:
        """The state of what is learned: (R, N) -> (R, K)."""

        optimizer = {name: tensor if name == 'step' else tensor.gather(1, self.places)
                     for name, tensor in state.optimizer.items()}
        return replace(state, weights=state.weights.gather(1, self.places), optimizer=optimizer)

    def unpacked(self, state: State) -> State:
        """The state of all weights: (R, K) -> (R, N). The optimizer knows 0 of those that do not train."""

        optimizer = {name: tensor if name == 'step' else self.frozen.new_zeros(self.frozen.shape).scatter_(
            1, self.places, tensor) for name, tensor in state.optimizer.items()}
        return replace(state, weights=self.weights(state.weights, state.step), optimizer=optimizer)


def pack_surviving(state: State, trainable: Tensor, *, worth: int = _WORTH) -> PackedWeights | None:
    """What of a state trains, (R, N), if packing pays, and all replicates have as much of it."""

    counts = trainable.sum(1)
    if int((~trainable).sum()) < worth or bool((counts != counts[0]).any()):
        return None
    return PackedWeights(trainable.nonzero()[:, 1].view(len(trainable), -1), state.weights.clone())
