"""Tickets of one data set trained on another one (Morcos et al. 2019).

Mask and rewind weights are transferred, or the mask with signs, or the mask alone (Oh et al. 2025), except for the
output layer if the classes differ (see output_layer.py). The schedule of the new data set is trained from its start.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import pydantic
from pydantic import Field

from lth.algorithms.base import ALGORITHMS
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning import masks
from lth.pruning.controls import with_signs
from lth.pruning.output_layer import transplant
from lth.pruning.tickets import Round, Ticket, dense_ticket, mask_ticket, reinitialized_ticket, train_ticket
from lth.recipes.source_settings import SourceWeights
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.task import Task


# What is transferred with the mask: the weights that the ticket starts from; the signs of the weights to which it was
# trained, or of those that it starts from, on new magnitudes; nothing, so that all weights are new.
Carried = Literal['weights', 'signs', 'start-signs', 'mask']
_IN_WORDS = {
    'weights': 'masks, and the weights from which tickets start',
    'signs': 'masks, and the signs of trained weights, on new magnitudes',
    'start-signs': 'masks, and the signs of the weights from which tickets start, on new magnitudes',
    'mask': 'masks alone, on new weights'}


class Settings(AlgorithmSettings):
    """`source` is the folder of the source run, relative to the folder of this run. `rounds` are its rounds whose
    tickets are trained as rounds 0, 1 … of this run, and `kept` the numbers of weights that they keep in this network.
    `shape` and `classes` are those of the source. `random` tickets have a mask shuffled over the whole network and
    re-initialized weights. `carry`: what of a ticket is transferred with its mask, see `Carried`.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True

    name: Literal['transfer']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    rounds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(
        description='Rounds of the source whose tickets are trained.')
    kept: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = Field(
        description='Numbers of weights that they keep.')
    shape: Annotated[tuple[int, int, int], Field(strict=False)] = Field(
        description='Shape of the images of the source.')
    classes: int = Field(ge=1, description='Number of classes of the source.')
    ticket: Literal['found', 'random'] = Field(
        'found', description='The ticket that was found, or a random one for comparison.')
    carry: Carried = Field('weights', description='What of a ticket is transferred with its mask.')

    @pydantic.model_validator(mode='after')
    def _rounds_match_kept(self) -> 'Settings':
        if len(self.rounds) != len(self.kept):
            raise ValueError('rounds and kept describe the same tickets, so both need the same length, but there are '
                             f'{len(self.rounds)} rounds and {len(self.kept)} counts')
        return self

    @property
    def carried(self) -> str:
        return _IN_WORDS[self.carry] if self.ticket == 'found' else ''

    @property
    def keeps_masks(self) -> bool:
        return self.ticket == 'found'

    def kept_counts(self, _layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        return list(self.kept)

    def trained_steps(
            self, _number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        """The schedule of the new data set is trained from its start."""

        return training.steps(steps_per_epoch)

    def source_rounds(self) -> Sequence[int]:
        return self.rounds

    def source_round(self, number: int) -> int:
        return self.rounds[number]

    def source_weights(self, number: int) -> SourceWeights:
        ticket = super().source_weights(number)
        return (*ticket, (self.source_round(number), 'trained')) if self.carry == 'signs' else ticket


@ALGORITHMS.register('transfer', settings=Settings)
def transfer(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train the tickets of another run on a new data set (Morcos et al. 2019)."""

    source_network = Network.of(
        task.network.settings, settings.shape, settings.classes, settings.keep_out, settings.also_prune)
    start = dense_ticket(task)
    for number in range(len(past), len(settings.kept)):
        ticket = _carried_ticket(task, settings, source[number], source_network, start)
        if settings.ticket == 'random':
            mask = masks.shuffle_mask(ticket.mask, task.seeds, 'random mask', 1, settings.rounds[number])
            ticket = mask_ticket(reinitialized_ticket(task, 'random ticket'), mask)
        ticket = replace(ticket, iteration=0)
        yield Round(number, ticket, train_ticket(task, ticket))


def _carried_ticket(task: Task, settings: Settings, round_: Round, source_network: Network, start: Ticket) -> Ticket:
    """The ticket of a round of the source, with what is carried of it, in the network of the task. New weights are as
    the control reinit draws them for this round. A new output layer keeps its own signs.
    """

    if settings.carry == 'weights':
        return transplant(round_.ticket, source_network, task.network, start)
    new = reinitialized_ticket(task, 'reinit', round_.number)
    signs = round_.ticket
    if settings.carry == 'signs':
        signs = replace(signs, weights=round_.trained.weights)
    moved = transplant(signs, source_network, task.network, new)
    carried = new if settings.carry == 'mask' else with_signs(task.network.layout, new, moved.weights)
    return mask_ticket(carried, moved.mask)
