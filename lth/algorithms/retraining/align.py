"""Masks of one seed on the initial weights of other seeds, aligned by the activations of both dense networks.

Adnan et al. 2025: the dense network of the seed with the mask is permuted until its activations match those of the
other dense network (see lth/pruning/alignment.py). Its mask, permuted alike, is trained from the weights of the other
seed at the rewind point. The mask without a permutation, `naive`, and the seed's `own` tickets are trained alike.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.models.channel_groups import ChannelGroup, channel_groups
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, replicate_buffers
from lth.pruning.alignment import match_channels, permute_parameters
from lth.pruning.tickets import Round, Ticket, mask_ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.engines import metrics
from lth.training.state import State
from lth.training.task import Task

Mask = Literal['aligned', 'naive', 'own']


class Settings(AlgorithmSettings):
    """`source` is the folder of the search, relative to the folder of this run. `mask_seed` is its seed whose masks are
    carried to the seeds of this run, None for each seed's own. `rounds` are the rounds whose masks are trained as
    rounds 0, 1 … of this run, `kept` their numbers of weights. `mask`: permuted (`aligned`), as it is (`naive`), or
    that of the seed itself.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True
    shares_rounds: ClassVar[bool] = True

    name: Literal['align']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    mask_seed: int | None = Field(
        None, ge=0, description="Seed of the source whose masks are used; by default each seed's own.")
    rounds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(
        description='Rounds of the source whose masks are trained.')
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(description='Their numbers of weights.')
    mask: Mask = Field('aligned', description='The mask is permuted, used as it is, or that of the seed itself.')

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return list(self.kept)

    def source_rounds(self) -> Sequence[int]:
        """The dense networks, then those with the masks."""

        return 0, *self.rounds

    def source_round(self, number: int) -> int:
        return self.rounds[number]

    def donor_seed(self) -> int | None:
        return self.mask_seed


@ALGORITHMS.register('align', settings=Settings)
def align(task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train the masks of one seed on the initial weights of others, aligned by activations (Adnan et al. 2025)."""

    dense, donor, *masked = source
    groups, permutations = channel_groups(task.network), list[list[Tensor]]()
    for number in range(len(past), len(settings.kept)):
        mask = masked[number].ticket.mask
        if settings.mask == 'aligned':
            permutations = permutations or match_dense_networks(task, groups, donor.trained, dense.trained)
            mask = torch.stack([permute_parameters(task.network.layout, groups, order, row)
                                for order, row in zip(permutations, mask, strict=True)])
        ticket = _ticket(dense.ticket, mask)
        yield Round(number, ticket, train_ticket(task, ticket))


def match_dense_networks(
        task: Task, groups: Sequence[ChannelGroup], first: State, second: State) -> list[list[Tensor]]:
    """For each replicate the permutation of each group of channels by which the first trained network matches the
    second one on the replicate's training images.
    """

    return [match_channels(task.network, groups, _replicate(first, row), _replicate(second, row),
                           _images(task, row, first.weights)) for row in range(len(task.seeds))]


def _images(task: Task, row: int, weights: Tensor) -> Iterator[Tensor]:
    """The training images of a replicate as inputs of its network, in batches."""

    size = metrics.evaluation_batch_size(task.network)
    return (images for images, _ in metrics.training_batches(task, task.splits[row][0], size, weights))


def _replicate(state: State, row: int) -> tuple[Tensor, Buffers]:
    return state.weights[row], replicate_buffers(state.buffers, row)


def _ticket(dense: Ticket, mask: Tensor) -> Ticket:
    """The weights of a dense network at the rewind point under a mask."""

    return replace(mask_ticket(dense, mask), iteration=dense.iteration)
