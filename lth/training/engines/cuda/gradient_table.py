"""Where the optimizer kernel finds the gradients: a table of addresses on the device, a row for each block of weights.

Autograd allocates the gradients, so a table would have to be written in every step. Within a CUDA graph the addresses
stay the same: a captured step gets a table of its own, which is written after the capture.
"""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Complete blocks are read and written four weights at a time.
_ALIGNMENT = 4
_HALF, _COMPLETE = 1, 2


class Piece(NamedTuple):
    """Weights that are contiguous in the vector and in a gradient: `size` weights from `start` in the vector's memory,
    which are those from `first` of one parameter in one replicate; `copy` is their place in the bfloat16 copy's memory,
    -1 if none.
    """

    parameter: int
    replicate: int
    first: int
    start: int
    size: int
    copy: int


class GradientTable:
    """The tables of one optimizer, whose parameters are views into a vector (R, N) or into its bfloat16 copy (R, H)."""

    def __init__(self, parameters: Sequence[Tensor], vector: Tensor, copy: Tensor | None, block: int) -> None:
        self._parameters, self._block = parameters, block
        self._stacked = [_is_stacked(parameter, vector, copy) for parameter in parameters]
        rows = [_block(piece, offset, block) for index, parameter in enumerate(parameters)
                for piece in _pieces(index, parameter, vector, copy) for offset in range(0, piece.size, block)]
        self._blocks, self._device = torch.tensor(rows), vector.device
        self._places: list[tuple[int, int, int]] = []
        self._current = torch.empty(len(rows), 5, dtype=torch.int64, device=self._device)
        # A graph reads its tables in every replay, so they must stay allocated.
        self._captured: list[Tensor] = []
        self._unwritten: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self._blocks)

    def gradients(self) -> list[Tensor]:
        """The parameters' gradients, each in the order of its parameter in memory."""

        pairs = zip(self._parameters, self._stacked, strict=True)
        return [_dense_gradient(parameter, stacked=stacked) for parameter, stacked in pairs]

    def table(self, gradients: Sequence[Tensor]) -> Tensor:
        """The table (blocks, 5) for these gradients: int64, on the device."""

        places = [(gradient.data_ptr(), gradient.element_size(), gradient.stride(0) if stacked else 0)
                  for gradient, stacked in zip(gradients, self._stacked, strict=True)]
        if self._device.type == 'cuda' and torch.cuda.is_current_stream_capturing():
            self._captured.append(torch.empty_like(self._current))
            self._unwritten.append((self._captured[-1], self._rows(places)))
            return self._captured[-1]
        if places != self._places:
            self._places = places
            self._current.copy_(self._rows(places))
        return self._current

    def write_captured(self) -> None:
        """Write the tables of the steps that were captured since the last call."""

        for table, rows in self._unwritten:
            table.copy_(rows)
        self._unwritten.clear()

    def _rows(self, places: list[tuple[int, int, int]]) -> Tensor:
        parameter, replicate, first, start, count, copy = self._blocks.unbind(1)
        base, size, stride = torch.tensor(places)[parameter].unbind(1)
        address = base + (replicate * stride + first) * size
        aligned = (address % (_ALIGNMENT * size) == 0) & (start % _ALIGNMENT == 0)
        complete = aligned & (count == self._block) & ((copy < 0) | (copy % _ALIGNMENT == 0))
        return torch.stack([address, start, count, copy, _HALF * (size == 2) + _COMPLETE * complete], 1)


def _pieces(index: int, parameter: Tensor, vector: Tensor, copy: Tensor | None) -> Iterator[Piece]:
    """The pieces of one parameter. It is cut where the copy ends, and between replicates."""

    if copy is None and parameter.numel() == vector.numel() and vector.is_contiguous():
        # One piece, as rows of an odd length would not be aligned.
        yield Piece(index, 0, 0, 0, vector.numel(), -1)
        return
    base = _base(parameter, vector, copy)
    row, begin = divmod((parameter.data_ptr() - base.data_ptr()) // parameter.element_size(), base.stride(0))
    replicates = len(vector) if _is_stacked(parameter, vector, copy) else 1
    copied, distance = (0, 0) if copy is None else (copy.shape[1], copy.stride(0))
    end = begin + parameter.numel() // replicates
    middle = min(max(begin, copied), end)
    for replicate in range(replicates):
        start, place = (row + replicate) * vector.stride(0), (row + replicate) * distance
        if begin < middle:
            yield Piece(index, replicate, 0, start + begin, middle - begin, place + begin)
        if middle < end:
            yield Piece(index, replicate, middle - begin, start + middle, end - middle, -1)


def _base(parameter: Tensor, vector: Tensor, copy: Tensor | None) -> Tensor:
    """The tensor, vector or copy, into which a parameter is a view."""

    if copy is not None and parameter.untyped_storage().data_ptr() == copy.untyped_storage().data_ptr():
        return copy
    return vector


def _is_stacked(parameter: Tensor, vector: Tensor, copy: Tensor | None) -> bool:
    """Whether a parameter (R, ...) is that of all replicates."""

    return 1 < len(vector) == len(parameter) and parameter.stride(0) == _base(parameter, vector, copy).stride(0)


def _block(piece: Piece, offset: int, block: int) -> tuple[int, ...]:
    """One block of a piece: parameter, replicate, first, start, count and place in the copy."""

    count = min(block, piece.size - offset)
    copy = piece.copy + offset if piece.copy >= 0 else -1
    return piece.parameter, piece.replicate, piece.first + offset, piece.start + offset, count, copy


def _dense_gradient(parameter: Tensor, *, stacked: bool) -> Tensor:
    """The gradient of a parameter, in the parameter's order in memory. Autograd's gradients have it, so that almost no
    gradient is copied.
    """

    if parameter.grad is None:  # the network does not use it
        return torch.zeros_like(parameter)
    gradient = parameter.grad
    # Replicates may lie at any distance in a gradient, except those of one piece. Sizes of 1 have no stride.
    first = 1 if stacked and not parameter.is_contiguous() else 0
    strides = list(zip(parameter.shape, parameter.stride(), gradient.stride()))[first:]
    if all(size == 1 or ours == theirs for size, ours, theirs in strides):
        return gradient
    return torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient)
