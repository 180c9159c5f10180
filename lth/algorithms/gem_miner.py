"""Gem-Miner (Sreenivasan et al. 2022, "Rare Gems", algorithm 1): scores are trained, weights stay as they were drawn.

A weight takes part while its score is above one half. From time to time the smallest scores freeze for good, so that
after the last such event exactly the wanted number is left: the gem, good before any of its weights was trained.
"""
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from lth import masks, streams
from lth.algorithms.algorithm import algorithm
from lth.errors import LthError
from lth.lengths import Length, Span
from lth.recipe import AlgorithmSettings, Training
from lth.task import State, Task
from lth.tickets import Round, Search, Ticket, fresh
from lth.training import measured, train
from lth.vectors import Layout

Scores = Literal['uniform', 'half', 'bernoulli', 'bimodal', 'skew']


class Settings(AlgorithmSettings):
    """`density` is the share of prunable weights kept at last; `penalty` is λ of the squared scores; `finetune` is how
    the gem is trained once it is found.
    """

    name: Literal['gem-miner']
    density: Annotated[float, Field(gt=0, le=1)]
    freeze_every: Length = Span(5, 'epochs')
    penalty: float = Field(1e-4, ge=0)
    scores: Scores = 'uniform'
    final_mask: Literal['active', 'in-force'] = 'active'
    finetune: Training


@dataclass(frozen=True)
class Rounded:
    """Weights under rounded scores; straight-through: a score has the gradient of its weight's factor as if it were not
    rounded (Bengio et al. 2013), and of λ Σ p².
    """

    frozen: Tensor
    penalty: float

    def weights(self, learned: Tensor, out: Tensor | None = None) -> Tensor:
        """Weights whose score is above one half, and all that is not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        # Compared into floats, for a product of floats with bools takes LeNet 0.3 ms more.
        torch.gt(learned, 0.5, out=out[:, :count]).mul_(self.frozen[:, :count])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor) -> None:
        """∂loss/∂p = (∂CE/∂w_eff) ⊙ w + 2λp: (R, P), (R, N) -> (R, P)."""

        count = learned.shape[1]
        torch.mul(gradient[:, :count], self.frozen[:, :count], out=out).add_(learned, alpha=2 * self.penalty)

    def project(self, learned: Tensor) -> None:
        """Scores stay within [0, 1]."""

        learned.clamp_(0, 1)


def events(settings: Settings, training: Training, steps_per_epoch: int) -> list[int]:
    """The iterations at which scores freeze: every T, before the end."""

    every = settings.freeze_every.steps(steps_per_epoch)
    return list(range(every, training.length.steps(steps_per_epoch), every))


def kept_counts(layout: Layout, settings: Settings, training: Training, steps_per_epoch: int) -> list[int]:
    """Active scores at the start and after each event: ⌈ρ · active⌉ go, ρ = 1 - density^(1/K)."""

    count = len(events(settings, training, steps_per_epoch))
    rate = 1 - settings.density ** (1 / count) if count else 0.
    counts = [layout.prunable]
    for _ in range(count):
        counts.append(counts[-1] - math.ceil(rate * counts[-1]))
    layers = len(layout.prunable_slots)
    if counts[-1] < layers:
        least = layers / layout.prunable
        raise LthError(
            f'algorithm.density: {settings.density:.6g} keeps {counts[-1]} of {layout.prunable} weights, but each of '
            f'the {layers} layers, such as {layout.prunable_slots[0].name}, needs one: give a density of at least '
            f'{least:.2g} (--sparsity {100 * least:.2g}).')
    return counts


def drops(epochs: int) -> list[int]:
    """The epochs at which the learning rate drops when a gem is finetuned for so many, as the paper's code has it."""

    published = {100: [50, 80], 150: [80, 120], 160: [80, 120], 200: [100, 150], 300: [150, 250]}
    return published.get(epochs, [epochs // 2, epochs * 2 // 3])


def _check(settings: Settings, training: Training, steps_per_epoch: int) -> None:
    if settings.freeze_every.amount < 1 or not events(settings, training, steps_per_epoch):
        raise LthError(f'algorithm.freeze_every: scores never freeze, as {settings.freeze_every} is not before the end '
                       f'of training, {training.length}. Freeze earlier or train longer.')


@algorithm('gem-miner', Settings, kept=kept_counts, check=_check, trains='throughout', finds='gems')
def find_gem(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Trained scores on untrained weights, frozen step by step until a rare gem is left (Sreenivasan et al. 2022)."""

    layout = task.network.layout
    counts = kept_counts(layout, settings, task.training, task.steps_per_epoch)
    ends = [*events(settings, task.training, task.steps_per_epoch), task.steps]
    start = fresh(task)
    rounded = Rounded(start.weights, settings.penalty)
    last = past[-1] if past else None
    for number in range(len(past), len(counts)):
        mask = start.mask if last is None else _frozen(task, last, counts[number], number)
        state = _begun(task, settings, start) if last is None else _going_on(last, mask)
        trained = train(task, state, until=ends[number], trainable=mask, parametrization=rounded)
        last = _round(task, settings, number, mask, start, trained, whole=number + 1 == len(counts))
        yield last


def _begun(task: Task, settings: Settings, start: Ticket) -> State:
    """The scores of every seed as drawn, with the buffers at their start."""

    rows = [_drawn(settings.scores, task.network.layout.prunable, seed) for seed in task.seeds]
    return State(torch.stack(rows).to(start.weights), start.buffers)


def _going_on(last: Round, mask: Tensor) -> State:
    """Where the round before ended, with the scores that froze at 0: they take no part and have no penalty."""

    assert last.search is not None
    return State(last.search.scores * mask, last.trained.buffers, last.trained.step, last.search.optimizer)


def _frozen(task: Task, last: Round, count: int, number: int) -> Tensor:
    """The mask with exactly `count` scores still active, the smallest of all layers gone."""

    assert last.search is not None
    mask = masks.keep_best(last.search.scores, last.ticket.mask, count, seeds=task.seeds, salt=number * 10_000)
    _refuse_empty_layers(task, mask, f'Freezing scores at round {number}')
    return mask


def _refuse_empty_layers(task: Task, mask: Tensor, what: str) -> None:
    """An LthError if a layer has no weight left, which cuts the network in two."""

    for name, part in task.network.layout.unpack(mask).items():
        alive = part.flatten(1).sum(1)
        if (alive == 0).any():
            seed = task.seeds[int(alive.argmin())]
            raise LthError(f'{what} leaves no weight in {name} (seed {seed}), and so cuts the network in two. Lower '
                           'algorithm.penalty, which draws scores to 0, or the learning rate; keep more weights; or '
                           f'keep the layer out: --set algorithm.keep_out={name}.')


def _round(
        task: Task, settings: Settings, number: int, mask: Tensor, start: Ticket, trained: State, *, whole: bool,
) -> Round:
    """What is saved: the active scores as mask, the untouched weights under it, and the network in force. At the end
    that is the gem itself, measured once more.
    """

    in_force = trained.weights > 0.5
    _refuse_empty_layers(task, mask & in_force, f'Rounding scores in round {number}')
    if whole:
        mask = mask & in_force if settings.final_mask == 'in-force' else mask
        in_force = mask
    state = State(_under(start.weights, mask & in_force), trained.buffers, trained.step, history=trained.history,
                  engine=trained.engine)
    if whole:
        state = replace(state, history=(*state.history, measured(task, state)))
    ticket = Ticket(mask, _under(start.weights, mask), start.buffers, 0)
    return Round(number, ticket, state, Search(trained.weights, trained.optimizer))


def _under(weights: Tensor, mask: Tensor) -> Tensor:
    """Weights with the pruned ones 0: (R, N), (R, P) -> (R, N)."""

    count = mask.shape[1]
    return torch.cat([weights[:, :count] * mask, weights[:, count:]], 1)


def _drawn(scores: Scores, count: int, seed: int) -> Tensor:
    """Scores at the start: (P,)."""

    random = streams.generator(seed, 'scores')
    match scores:
        case 'uniform':
            return torch.rand(count, generator=random)
        case 'half':
            # Just above, for at exactly one half no weight would take part, and no score be taught.
            return torch.full((count,), 0.5 + torch.finfo(torch.float32).eps)
        case 'bernoulli':
            return torch.randint(0, 2, (count,), generator=random).to(torch.float32)
        case 'bimodal':
            return _beta(0.1, 0.1, count, random)
        case 'skew':
            return _beta(1., 5., count, random)


def _beta(alpha: float, beta: float, count: int, random: torch.Generator) -> Tensor:
    """Beta-distributed numbers, by two Gamma ones."""

    shapes = torch.tensor([[alpha], [beta]], dtype=torch.float64).expand(2, count).contiguous()
    ones, others = torch._standard_gamma(shapes, generator=random)  # pylint: disable=protected-access # no public one
    drawn: Tensor = ones / (ones + others)
    return drawn.to(torch.float32)
