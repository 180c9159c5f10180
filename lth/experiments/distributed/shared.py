"""What ranks share while they train: rounds that rank 0 reads, its checkpoints, and the signals of all."""
from collections.abc import Sequence
from typing import overload

import torch

from lth.pruning.tickets import Round
from lth.system import signals
from lth.training.engines.distributed.ranks import Ranks
from lth.training.state import Snapshot, TrainingStart
from lth.training.task import Checkpoints, Task

_CPU = torch.device('cpu')


class SharedRounds(Sequence[Round]):
    """Rounds with these numbers, of which rank 0 has the `stored` ones: each is sent to all ranks when it is used."""

    def __init__(
            self, ranks: Ranks, device: torch.device, numbers: Sequence[int], stored: Sequence[Round] | None) -> None:
        self._ranks, self._device, self._numbers, self._stored = ranks, device, numbers, stored

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Round: ...

    @overload
    def __getitem__(self, index: slice) -> 'SharedRounds': ...

    def __getitem__(self, index: int | slice) -> 'Round | SharedRounds':
        numbers = self._numbers[index]
        if not isinstance(numbers, int):
            return SharedRounds(self._ranks, self._device, numbers, self._stored)
        return self._ranks.from_first(lambda: self._read(numbers)).to(self._device)

    def _read(self, number: int) -> Round:
        assert self._stored is not None, 'only rank 0 reads rounds'
        return self._stored[number].to(_CPU)


class SharedCheckpoints:
    """The Checkpoints of all ranks: rank 0 has its `own`, which decide when all stop. A signal to any rank ends all."""

    def __init__(self, ranks: Ranks, own: Checkpoints | None = None) -> None:
        self._ranks, self._own = ranks, own

    def resume(self, task: Task, start: TrainingStart) -> Snapshot | None:
        """See Checkpoints."""

        snapshot = self._ranks.from_first(lambda: self._resumed(task, start))
        return snapshot and snapshot.to(task.engine.device)

    def next_stop(self, step: int) -> int:
        """See Checkpoints."""

        return self._ranks.largest(self._own.next_stop(step) if self._own else 0)

    def is_due(self, step: int) -> bool:
        """See Checkpoints."""

        due = self._own.is_due(step) if self._own else signals.requested()
        return bool(self._ranks.largest(int(bool(due))))

    def keep(self, snapshot: Snapshot) -> None:
        """See Checkpoints."""

        self._share_signals()
        if self._own:
            self._own.keep(snapshot)
        signals.check()

    def check(self) -> None:
        """See Checkpoints."""

        self._share_signals()
        if self._own:
            self._own.check()
        signals.check()

    def _resumed(self, task: Task, start: TrainingStart) -> Snapshot | None:
        assert self._own, 'only rank 0 reads checkpoints'
        snapshot = self._own.resume(task, start)
        return snapshot and snapshot.to(_CPU)

    def _share_signals(self) -> None:
        """Record the signal of any rank on all."""

        if number := self._ranks.largest(signals.requested() or 0):
            signals.request(number)


def check_round(ranks: Ranks, round_: Round) -> None:
    """LthError on all ranks if a round is not the same on all of them."""

    tensors = {'the mask': round_.ticket.mask, 'the ticket': round_.ticket.weights,
               'the trained weights': round_.trained.weights, **round_.trained.buffers}
    if round_.search:
        tensors['the scores'] = round_.search.scores
    ranks.refuse_differences(f'Round {round_.number}', tensors)
