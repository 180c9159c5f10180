"""Rounds of several seeds together, read from a run when they are used."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch

from lth.pruning.tickets import Round
from lth.runs.stacking import stack_rounds


@dataclass(frozen=True)
class StoredRounds(Sequence[Round]):
    """Rounds with these numbers, for some seeds. Each is read by load(seed, number) and stacked, R = number of seeds,
    when it is used.
    """

    load: Callable[[int, int], Round]
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    device: torch.device

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Round: ...

    @overload
    def __getitem__(self, index: slice) -> 'StoredRounds': ...

    def __getitem__(self, index: int | slice) -> 'Round | StoredRounds':
        if isinstance(index, slice):
            return replace(self, numbers=self.numbers[index])
        number = self.numbers[index]
        return stack_rounds([self.load(seed, number).to(self.device) for seed in self.seeds])
