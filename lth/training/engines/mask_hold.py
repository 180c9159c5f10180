"""The mask of a vector in training: where it may not change it gets its old bits back, whatever the optimizer did."""
import torch
from torch import Tensor

_INTEGERS = {4: torch.int32, 8: torch.int64}


class MaskHold:
    """Bitwise *and*, *or* on a vector in place: for LeNet 0.09 ms, where torch.where takes 1.0 ms."""

    def __init__(self, vector: Tensor) -> None:
        self._bits = vector.view(_INTEGERS[vector.element_size()])
        self._live, self._held = torch.empty_like(self._bits), torch.empty_like(self._bits)
        self._masked = self._holding = True

    def begin(self, trainable: Tensor, *, fixed: bool) -> None:
        """Holds what the vector has now outside `trainable`. A step that is captured must be `fixed`: it then does all
        it may ever have to.
        """

        self._live.copy_(trainable).neg_()
        self._held.copy_(self._bits).bitwise_and_(~self._live)
        self._masked = fixed or not bool(trainable.all())
        self._holding = fixed or bool(self._held.any())

    def restore(self) -> None:
        """Puts the held bits back."""

        if self._masked:
            self._bits.bitwise_and_(self._live)
        if self._holding:
            self._bits.bitwise_or_(self._held)
