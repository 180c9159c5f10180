"""Settings of training: length, batch size, optimizer, learning-rate schedule and precision.

A new optimizer or schedule is a section here, a member of the union in `TrainingSettings`, and code in lth/training.
"""
import itertools
import math
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.section import Section

_Share = Annotated[float, Field(ge=0, lt=1)]
MOST_CYCLES = 1_000


class Adam(Section):
    """torch.optim.Adam with one set of options for all weights."""

    name: Literal['adam']
    learning_rate: float = Field(gt=0, description='The learning rate, before the schedule.')
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = Field(
        (0.9, 0.999), description='Decay rates of the two moments.')
    epsilon: float = Field(1e-8, gt=0, description='Added to the root of the second moment.')
    weight_decay: float = Field(0., ge=0, description='Factor of the weights that is added to the gradient.')


class AdamW(Section):
    """torch.optim.AdamW with one set of options for all weights: weight decay is not part of the gradient."""

    name: Literal['adamw']
    learning_rate: float = Field(gt=0, description='The learning rate, before the schedule.')
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = Field(
        (0.9, 0.999), description='Decay rates of the two moments.')
    epsilon: float = Field(1e-8, gt=0, description='Added to the root of the second moment.')
    weight_decay: float = Field(0.01, ge=0, description='Decoupled weight decay.')


class Sgd(Section):
    """torch.optim.SGD with one set of options for all weights."""

    name: Literal['sgd']
    learning_rate: float = Field(gt=0, description='The learning rate, before the schedule.')
    momentum: float = Field(0., ge=0, lt=1, description='Factor of the previous update.')
    nesterov: bool = Field(False, description="Nesterov's momentum.")
    weight_decay: float = Field(0., ge=0, description='Factor of the weights that is added to the gradient.')

    @pydantic.model_validator(mode='after')
    def _nesterov_has_momentum(self) -> 'Sgd':
        if self.nesterov and not self.momentum:
            raise ValueError('nesterov needs a momentum above 0')
        return self


class Constant(Section):
    """The same learning rate in all steps."""

    name: Literal['constant']


class Multistep(Section):
    """The learning rate is multiplied by `factor` at each milestone."""

    name: Literal['multistep']
    milestones: Annotated[tuple[DurationSetting, ...], Field(strict=False, max_length=100)] = Field(
        description='When the learning rate is multiplied by the factor.')
    factor: float = Field(0.1, gt=0, lt=1, description='Factor of the learning rate.')


class Cosine(Section):
    """The learning rate decreases to 0 as half a cosine over the length of training."""

    name: Literal['cosine']
    per: Literal['epoch', 'iteration'] = Field(
        'iteration', description='Whether the learning rate changes in each epoch or in each iteration.')


CycleLengths = Literal[
    'constant', 'linear-increase', 'linear-decrease', 'exponential-increase', 'exponential-decrease']


class TrainingSettings(Section):
    """How a network, dense or sparse, is trained: `cycles` times by the whole learning-rate schedule, each time with a
    new optimizer. Each cycle has the `length`, or with `cycle_budget: total` all of them together, divided among them
    by `cycle_lengths`. With `aws`, the normalization layers of each step use random scales and shifts between the
    initial and the trained ones (Oh et al. 2025).
    """

    length: DurationSetting = Field(description='Length of each round, or of each cycle.')
    batch_size: int = Field(ge=1, description='Number of images in a batch.')
    optimizer: Annotated[Adam | AdamW | Sgd, Field(discriminator='name')] = Field(
        description='The optimizer, for all parameters.')
    schedule: Annotated[Constant | Multistep | Cosine, Field(discriminator='name')] = Field(
        Constant(name='constant'), description='The learning rate over the length of training.')
    warmup: DurationSetting = Field(
        Duration(0, 'iterations'), description='The learning rate increases linearly from 0 over this length.')
    measure_every: DurationSetting = Field(
        Duration(1, 'epochs'), description='How often loss and accuracy are measured.')
    cycles: int = Field(
        1, ge=1, le=MOST_CYCLES, description='Number of repetitions of the whole schedule, each with a new optimizer.')
    cycle_budget: Literal['each', 'total'] = Field(
        'each', description='Whether `each` cycle has the length, or all of them together (`total`).')
    cycle_lengths: CycleLengths = Field(
        'constant', description='How the lengths of cycles of a total budget differ: not, linearly or exponentially.')
    precision: Literal['auto', 'fp32', 'tf32', 'bf16'] = Field('fp32', description='Precision of the arithmetic.')
    aws: bool = Field(
        False, description='Random scales and shifts of normalization layers in each step (Oh et al. 2025).')

    @pydantic.field_validator('length', 'measure_every')
    @classmethod
    def _positive(cls, duration: Duration) -> Duration:
        if duration.amount < 1:
            raise ValueError('it should be at least 1')
        return duration

    @pydantic.model_validator(mode='after')
    def _cycle_lengths_have_an_effect(self) -> Self:
        if self.cycle_lengths != 'constant' and (self.cycles == 1 or self.cycle_budget == 'each'):
            raise ValueError(f'cycle_lengths {self.cycle_lengths} divides a total length among cycles: set cycles to 2 '
                             'or more and cycle_budget to total, or leave it out')
        return self

    def steps(self, steps_per_epoch: int) -> int:
        """Number of iterations of a complete training, with all cycles."""

        return self.cycle_ends(steps_per_epoch)[-1]

    def cycle_ends(self, steps_per_epoch: int) -> tuple[int, ...]:
        """The iterations at which the cycles end. Constant lengths in a total budget differ by at most one iteration.

        Other lengths are in proportion to 1, 2 … n, or to 2^(k/(n - 1)) for k = 0 … n - 1, or to these in reverse (code
        of arXiv 2406.02773), rounded so that their sum is the length.
        """

        steps, cycles = self.length.steps(steps_per_epoch), range(1, self.cycles + 1)
        if self.cycle_budget == 'each':
            return tuple(steps * number for number in cycles)
        if self.cycle_lengths == 'constant':
            return tuple(steps * number // self.cycles for number in cycles)
        shape, direction = self.cycle_lengths.split('-')
        parts = list(cycles) if shape == 'linear' else [2 ** (k / (self.cycles - 1)) for k in range(self.cycles)]
        sums = list(itertools.accumulate(parts if direction == 'increase' else reversed(parts)))
        return (*(math.floor(steps * part / sums[-1]) for part in sums[:-1]), steps)
