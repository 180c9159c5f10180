"""SCULPT: cyclic training of a denser ticket, one magnitude pruning, one more cycle (arXiv 2406.02773)."""
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lth.algorithms.base import ALGORITHMS
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.pruning import masks
from lth.pruning.tickets import Round, Ticket, train_ticket
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.training.lr_schedules import cycle_training
from lth.training.task import Task


class Settings(AlgorithmSettings):
    """`source` is the folder of the source run, relative to the folder of this run, `round` its round whose ticket is
    trained in round 0, and `kept` the number of weights of that ticket. Round 1 keeps ⌊`then_prune` · P⌋ weights.
    """

    finds: ClassVar[Literal['nothing new']] = 'nothing new'
    needs_source: ClassVar[bool] = True
    prunes_once: ClassVar[bool] = True
    fits_output_layer: ClassVar[bool] = True

    name: Literal['sculpt']
    source: str = Field(description='Folder of the source run, relative to the folder of this run.')
    round: int = Field(ge=0, description='Round of the source whose ticket is trained.')
    kept: int = Field(ge=0, description='Number of weights of that ticket.')
    then_prune: Annotated[float, Field(gt=0, lt=1)] = Field(description='Share of the weights that round 1 keeps.')

    def kept_counts(self, layout: Layout, _training: TrainingSettings, _steps_per_epoch: int) -> list[int]:
        weights, layers = layout.prunable_count, len(layout.prunable_slots)
        count = masks.floor_share(weights, self.then_prune)
        if not layers <= count < self.kept:
            least = next(masks.sufficient_shares(weights, layers))
            raise LthError(f'--then-prune: {self.then_prune} of {weights:,} weights are {count:,}, but the ticket '
                           f'keeps {self.kept:,} in {layers} layers. Give the share of all prunable weights that '
                           f'remain, below {self.kept / weights:.4g} and at least {least:.2g}, one weight for each '
                           'layer.')
        return [self.kept, count]

    def trained_steps(
            self, number: int, training: TrainingSettings, steps_per_epoch: int, *, start: int = 0) -> int:
        """Round 1 trains one cycle from its start."""

        if number == 0:
            return training.steps(steps_per_epoch) - start
        return self.training_for_round(number, training, steps_per_epoch).steps(steps_per_epoch)

    def training_for_round(self, number: int, training: TrainingSettings, steps_per_epoch: int) -> TrainingSettings:
        if number == 0:
            return training
        return cycle_training(training, steps_per_epoch, training.cycle_ends(steps_per_epoch)[0])

    def source_rounds(self) -> Sequence[int]:
        return (self.round,)

    def source_round(self, _number: int) -> int:
        return self.round

    def table_round(self, number: int) -> int:
        return number


@ALGORITHMS.register('sculpt', settings=Settings)
def sculpt(
        task: Task, settings: Settings, past: Sequence[Round], *, source: Sequence[Round]) -> Iterator[Round]:
    """Train a ticket in cycles, prune it once globally by magnitude, and train one more cycle (SCULPT, 2406.02773)."""

    kept = settings.kept_counts(task.network.layout, task.training, task.steps_per_epoch)
    last = past[-1] if past else None
    if last is None:
        last = Round(0, source[0].ticket, train_ticket(task, source[0].ticket))
        yield last
    if last.number == 0:
        ticket = _pruned_ticket(task, last, kept[1])
        training = settings.training_for_round(1, task.training, task.steps_per_epoch)
        yield Round(1, ticket, train_ticket(replace(task, training=training), ticket))


def _pruned_ticket(task: Task, dense: Round, count: int) -> Ticket:
    """The trained weights under the mask of the largest ones of all layers; training starts a schedule from its start.
    """

    weights, prunable = dense.trained.weights.clone(), task.network.layout.prunable_count
    mask = masks.keep_best(weights[:, :prunable].abs(), dense.ticket.mask, count, seeds=task.seeds, salt=1)
    weights[:, :prunable][dense.ticket.mask & ~mask] = 0
    return Ticket(mask, weights, dense.trained.buffers, 0)
