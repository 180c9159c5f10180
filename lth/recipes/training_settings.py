"""Settings of training: length, batch size, optimizer, learning-rate schedule and precision.

A new optimizer or schedule is a section here, a member of the union in `TrainingSettings`, and code in lth/training.
"""
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from lth.recipes.durations import Duration, DurationSetting
from lth.recipes.section import Section

_Share = Annotated[float, Field(ge=0, lt=1)]
MOST_CYCLES = 1_000


class Adam(Section):
    """torch.optim.Adam with one set of options for all weights."""

    name: Literal['adam']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0., ge=0)


class AdamW(Section):
    """torch.optim.AdamW with one set of options for all weights: weight decay is not part of the gradient."""

    name: Literal['adamw']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)


class Sgd(Section):
    """torch.optim.SGD with one set of options for all weights."""

    name: Literal['sgd']
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0., ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0., ge=0)

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
    milestones: Annotated[tuple[DurationSetting, ...], Field(strict=False, max_length=100)]
    factor: float = Field(0.1, gt=0, lt=1)


class Cosine(Section):
    """The learning rate decreases to 0 as half a cosine over the length of training."""

    name: Literal['cosine']
    per: Literal['epoch', 'iteration'] = 'iteration'


class TrainingSettings(Section):
    """How a network, dense or sparse, is trained: `cycles` times by the whole learning-rate schedule, each time with a
    new optimizer. Each cycle has the `length`, or with `cycle_budget: total` all of them together. With `aws`, the
    normalization layers of each step use random scales and shifts between the initial and the trained ones (Oh et al.
    2025).
    """

    length: DurationSetting
    batch_size: int = Field(ge=1)
    optimizer: Annotated[Adam | AdamW | Sgd, Field(discriminator='name')]
    schedule: Annotated[Constant | Multistep | Cosine, Field(discriminator='name')] = Constant(name='constant')
    warmup: DurationSetting = Duration(0, 'iterations')
    measure_every: DurationSetting = Duration(1, 'epochs')
    cycles: int = Field(1, ge=1, le=MOST_CYCLES)
    cycle_budget: Literal['each', 'total'] = 'each'
    precision: Literal['auto', 'fp32', 'tf32', 'bf16'] = 'fp32'
    aws: bool = False

    @pydantic.field_validator('length', 'measure_every')
    @classmethod
    def _positive(cls, duration: Duration) -> Duration:
        if duration.amount < 1:
            raise ValueError('it should be at least 1')
        return duration

    def steps(self, steps_per_epoch: int) -> int:
        """Number of iterations of a complete training, with all cycles."""

        return self.cycle_ends(steps_per_epoch)[-1]

    def cycle_ends(self, steps_per_epoch: int) -> tuple[int, ...]:
        """The iterations at which the cycles end. Cycles of a total budget differ by at most one iteration."""

        steps = self.length.steps(steps_per_epoch)
        if self.cycle_budget == 'each':
            return tuple(steps * number for number in range(1, self.cycles + 1))
        return tuple(steps * number // self.cycles for number in range(1, self.cycles + 1))
