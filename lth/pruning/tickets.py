"""Tickets and rounds: a mask with the weights from which training starts, and the result of training."""
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.models.network import Buffers, Network
from lth.pruning import masks
from lth.training.loop import train
from lth.training.state import State
from lth.training.task import Task


@dataclass(frozen=True)
class Ticket:
    """A subnetwork: mask (R, P), weights (R, N) and buffers before training, and the iteration of the schedule at which
    its training starts.
    """

    mask: Tensor
    weights: Tensor
    buffers: Buffers
    iteration: int

    def to(self, device: torch.device) -> 'Ticket':
        """The ticket on the device."""

        return Ticket(self.mask.to(device), self.weights.to(device), _to(self.buffers, device), self.iteration)

    def fingerprints(self) -> tuple[str, ...]:
        """A digest of the mask, weights and buffers of each replicate."""

        return tuple(map(self._fingerprint, range(len(self.mask))))

    def _fingerprint(self, row: int) -> str:
        digest = hashlib.blake2b(digest_size=12)
        for tensor in (self.mask, self.weights, *self.buffers.values()):
            digest.update(tensor[row].cpu().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class SearchState:
    """Trained scores (R, P), and the optimizer state with which their training continues. `sampled_accuracy` is the
    mean test accuracy of masks sampled from the final scores, of each replicate; () if none are sampled. `penalties`
    are the factors λ with which the scores of each replicate were trained; () if they are those of the settings.
    `selected` is the number of weights that the scores of each replicate select without a given count; () if it is not
    recorded.
    """

    scores: Tensor
    optimizer: dict[str, Tensor]
    sampled_accuracy: tuple[float, ...] = ()
    penalties: tuple[float, ...] = ()
    selected: tuple[int, ...] = ()

    def to(self, device: torch.device) -> 'SearchState':
        """The state on the device."""

        return replace(self, scores=self.scores.to(device), optimizer=_to(self.optimizer, device))


class CopyAccuracies(NamedTuple):
    """The copies of which a soup was made, of one replicate: validation and test accuracy of each at the end of its
    training, and whether it is in the soup.
    """

    validation: tuple[float, ...]
    test: tuple[float, ...]
    in_soup: tuple[bool, ...]


class PoolMembers(NamedTuple):
    """How a ticket of one replicate was pooled: its accuracies before, and the rounds that were interpolated into it
    one after the other, with the share of each. Both are empty if no round improved it.
    """

    validation_before: float
    test_before: float
    rounds: tuple[int, ...]
    shares: tuple[float, ...]


class WatchedMasks(NamedTuple):
    """The masks that were compared at each measurement, the densest first: how many weights each keeps, and in how many
    two random masks of the same counts differ on average.
    """

    kept: tuple[int, ...]
    chance: tuple[float, ...]


@dataclass(frozen=True)
class MovingState:
    """What a training whose mask moves continues with after a round: the weights that were ever active (R, P), the
    events of the round (R, E, 5) as in `Wiring`, and the optimizer state.
    """

    ever: Tensor
    events: Tensor
    optimizer: dict[str, Tensor]

    def to(self, device: torch.device) -> 'MovingState':
        """The state with its tensors on the device; events stay on the CPU."""

        return MovingState(self.ever.to(device), self.events, _to(self.optimizer, device))


@dataclass(frozen=True)
class Round:
    """A ticket and the result of its training. Round 0 is the dense network, with the rewind point as its ticket. If
    scores are trained, they are in `search`, and `trained` holds the weights that they select. `sources` are the
    fingerprints of the tickets of another run from which the round was made, one for each replicate; `copies` and
    `pool` have an entry for each replicate if `trained` is a soup of copies, or was pooled with other rounds. `watched`
    are the masks that were compared while it was trained. If the mask moved in the training, `moving` says how. With
    `start_unknown`, the weights of the ticket are none from which it was trained, and are not saved: nobody knows them.
    """

    number: int
    ticket: Ticket
    trained: State
    search: SearchState | None = None
    sources: tuple[str, ...] = ()
    copies: tuple[CopyAccuracies, ...] = ()
    pool: tuple[PoolMembers, ...] = ()
    watched: WatchedMasks | None = None
    moving: MovingState | None = None
    start_unknown: bool = False

    def to(self, device: torch.device) -> 'Round':
        """The round on the device."""

        search = self.search.to(device) if self.search else None
        moving = self.moving.to(device) if self.moving else None
        return replace(
            self, ticket=self.ticket.to(device), trained=self.trained.to(device), search=search, moving=moving)


def dense_ticket(task: Task) -> Ticket:
    """The dense network with the initial weights of each seed, at iteration 0."""

    return initial_ticket(task.network, task.seeds, task.engine.device)


def reinitialized_ticket(task: Task, stream: str, *numbers: int) -> Ticket:
    """The dense network with the initial weights of other seeds, derived from the task's as by rng.derive_seed."""

    return dense_ticket(replace(task, seeds=tuple(rng.derive_seed(seed, stream, *numbers) for seed in task.seeds)))


def initial_ticket(network: Network, seeds: Sequence[int], device: torch.device) -> Ticket:
    """The dense network with the initial weights of these seeds, at iteration 0."""

    weights = torch.stack([network.initial_weights(seed) for seed in seeds]).to(device)
    mask = torch.ones(len(weights), network.layout.prunable_count, dtype=torch.bool, device=device)
    per_seed = [network.initial_buffers(seed) for seed in seeds]
    buffers = {name: torch.stack([buffers[name] for buffers in per_seed]).to(device) for name in per_seed[0]}
    return Ticket(mask, weights, buffers, 0)


def stack_tickets(tickets: Sequence[Ticket]) -> Ticket:
    """One ticket with the replicates of several, in this order. They start at the same iteration."""

    if len(tickets) == 1:
        return tickets[0]
    mask, weights = (torch.cat([getattr(ticket, name) for ticket in tickets]) for name in ('mask', 'weights'))
    buffers = stack_tensors([ticket.buffers for ticket in tickets])
    return Ticket(mask, weights, buffers, tickets[0].iteration)


def stack_tensors(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors (R, ...) of the same names in all parts, with the replicates of all parts in this order."""

    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def mask_ticket(dense: Ticket, mask: Tensor) -> Ticket:
    """The weights of a dense network under a mask."""

    return replace(dense, mask=mask, weights=masks.apply_mask(mask, dense.weights))


def train_ticket(task: Task, ticket: Ticket, *, until: int | None = None) -> State:
    """Train a ticket under its mask with a new optimizer, from its iteration to the end of training or to `until`."""

    start, end = State(ticket.weights, ticket.buffers, ticket.iteration), task.steps if until is None else until
    return train(task, start, until=end, trainable=task.network.layout.trainable_mask(ticket.mask))


def _to(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
