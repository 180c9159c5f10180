"""Tickets and rounds: a mask with the weights it starts from, and what training made of them."""
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, Network
from lth.pruning import masks
from lth.training.loop import train
from lth.training.task import State, Task


@dataclass(frozen=True)
class Ticket:
    """A subnetwork: mask (R, P), weights (R, N) and buffers before training, at an iteration of the schedule."""

    mask: Tensor
    weights: Tensor
    buffers: Buffers
    iteration: int

    def to(self, device: torch.device) -> 'Ticket':
        """The same ticket, living on the device."""

        buffers = {name: buffer.to(device) for name, buffer in self.buffers.items()}
        return Ticket(self.mask.to(device), self.weights.to(device), buffers, self.iteration)

    def fingerprints(self) -> tuple[str, ...]:
        """What changes if the ticket of a replicate does: one for each."""

        return tuple(map(self._fingerprint, range(len(self.mask))))

    def _fingerprint(self, row: int) -> str:
        digest = hashlib.blake2b(digest_size=12)
        for tensor in (self.mask, self.weights, *self.buffers.values()):
            digest.update(tensor[row].cpu().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class SearchState:
    """How far scores are: (R, P), and the optimizer's state that goes on with them. `drawn` is the mean test accuracy
    of masks drawn from the scores at last, of each replicate, where masks are drawn.
    """

    scores: Tensor
    optimizer: dict[str, Tensor]
    drawn: tuple[float, ...] = ()

    def to(self, device: torch.device) -> 'SearchState':
        """The same, living on the device."""

        optimizer = {name: tensor.to(device) for name, tensor in self.optimizer.items()}
        return SearchState(self.scores.to(device), optimizer, self.drawn)


@dataclass(frozen=True)
class Round:
    """A ticket and its training; round 0 is the dense network, and its ticket is the rewind point. Where scores were
    trained, `search` holds them, and `trained` the weights in force under them. `sources`: fingerprints of the tickets
    of another run that it was made from, if it was, one for each replicate.
    """

    number: int
    ticket: Ticket
    trained: State
    search: SearchState | None = None
    sources: tuple[str, ...] = ()

    def to(self, device: torch.device) -> 'Round':
        """The same round, living on the device."""

        search = self.search.to(device) if self.search else None
        return Round(self.number, self.ticket.to(device), self.trained.to(device), search, self.sources)


def dense_ticket(task: Task) -> Ticket:
    """The dense network of every seed as drawn, at iteration 0."""

    return initial_ticket(task.network, task.seeds, task.engine.device)


def initial_ticket(network: Network, seeds: Sequence[int], device: torch.device) -> Ticket:
    """The dense network of these seeds as it is drawn, at iteration 0."""

    weights = torch.stack([network.initial_weights(seed) for seed in seeds]).to(device)
    mask = torch.ones(len(weights), network.layout.prunable_count, dtype=torch.bool, device=device)
    alone = [network.initial_buffers(seed) for seed in seeds]
    buffers = {name: torch.stack([one[name] for one in alone]).to(device) for name in alone[0]}
    return Ticket(mask, weights, buffers, 0)


def mask_ticket(dense: Ticket, mask: Tensor) -> Ticket:
    """The weights of a dense network under a mask."""

    return replace(dense, mask=mask, weights=masks.apply_mask(mask, dense.weights))


def train_ticket(task: Task, ticket: Ticket, *, until: int | None = None) -> State:
    """The ticket trained under its mask, by a fresh optimizer, from its iteration to the schedule's end or `until`."""

    start, end = State(ticket.weights, ticket.buffers, ticket.iteration), task.steps if until is None else until
    return train(task, start, until=end, trainable=trainable_mask(task.network.layout, ticket.mask))


def trainable_mask(layout: Layout, mask: Tensor) -> Tensor:
    """Where training may change the vector: the kept weights and all that is never pruned: (R, P) -> (R, N)."""

    return torch.cat([mask, mask.new_ones(len(mask), layout.size - layout.prunable_count)], dim=1)
