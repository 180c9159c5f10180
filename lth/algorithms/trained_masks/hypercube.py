"""Optimisation on the hypercube without freezing (Sreenivasan et al. 2022, "Rare Gems"; `hc` in the paper's code)."""
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from lth.algorithms.base import algorithm
from lth.algorithms.trained_masks import base
from lth.algorithms.trained_masks.base import Saved, Way
from lth.algorithms.trained_masks.initial_scores import Start, start_of
from lth.algorithms.trained_masks.parametrizations import Multiplied, Rounded
from lth.algorithms.trained_masks.regularizers import Exponents, Penalty, Regularizer
from lth.pruning import masks
from lth.pruning.tickets import Round
from lth.training.task import Task


class Settings(Saved):
    """Scores are rounded in `every-step`, or multiplied as they are and rounded `at-end`; the rest as in Gem-Miner."""

    name: Literal['hypercube']
    penalty: float = Field(1e-4, ge=0)
    regularizer: Regularizer = 'l2'
    exponents: Exponents = (1., 1.)
    scores: Start = 'uniform'
    rounding: Literal['every-step', 'at-end'] = 'every-step'


@algorithm('hypercube', Settings, kept=base.saved_counts, check=base.check_saved, trains='throughout', finds='gems')
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Trained scores on untrained weights as in Gem-Miner, none frozen; the largest are kept (Sreenivasan et al. 2022).
    """

    layout = task.network.layout
    counts = base.saved_counts(layout, settings, task.training, task.steps_per_epoch)
    penalty = Penalty(settings.penalty, settings.regularizer, settings.exponents)
    parametrization = Rounded if settings.rounding == 'every-step' else Multiplied

    def found(number: int, mask: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
        if number + 1 < len(counts):
            return mask, trained > 0.5
        best = base.best(trained, mask, counts[-1], task, number, settings.keep)
        return best, best

    yield from base.searched(task, Way(
        ends=base.ends(settings.save_every, task.training, task.steps_per_epoch),
        start=base.drawn(task, lambda random: start_of(settings.scores, layout.prunable_count, random)),
        parametrization=lambda _, weights: parametrization(weights, penalty),
        active=lambda _, last: last.ticket.mask, found=found, dressed=masks.apply_mask,
        may_sink=settings.rounding == 'at-end' or base.may_sink(task, settings),
        as_saved=settings.rounding == 'every-step'), past)
