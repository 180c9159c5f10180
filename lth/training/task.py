"""What is trained: Task, a network with its data, settings and engine; and the protocols of what takes part in it."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.training.lr_schedules import Rates, learning_rates
from lth.training.state import (
    BatchGradient, Differing, Measurement, Metrics, Segment, Snapshot, State, TrainingStart)


class Parametrization(Protocol):
    """Weights as a function of parameters that are learned in their place, such as scores: L numbers per replicate."""

    @property
    def decay(self) -> float:
        """Extra weight decay of the optimizer. A penalty λ Σ p² is a decay of 2λ, which needs no pass of its own."""

    def weights(self, learned: Tensor, step: int, out: Tensor | None = None) -> Tensor:
        """The network's weights at a step: (R, L) -> (R, N), written into `out` if given.

        `out` must hold weights of an earlier step. Only a parametrization that draws random numbers for every step uses
        `step`; such a one is never captured in a CUDA graph.
        """

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """Write the gradient of the learned parameters into `out` (R, L), at the columns start to start + n.

        `gradient` (R, n) is the gradient of the loss with respect to the n weights from `start` on.
        """

    def project(self, learned: Tensor) -> None:
        """Move the learned parameters back into their range after a step, in place."""


class Watch(Protocol):
    """Compares the masks to which one would prune at each measurement with those at the measurements before."""

    @property
    def densities(self) -> int:
        """D, the number of masks at each measurement."""

    @property
    def recent(self) -> Tensor | None:
        """The masks of a training that ended where this one starts; None if there was none."""

    def observe(self, weights: Tensor, recent: Tensor | None) -> tuple[Tensor, Differing]:
        """The recent masks with those of the weights (R, N), and in how many weights these differ from the
        others.
        """


class Engine(Protocol):
    """Executes training steps. All engines use the same batches in the same order, and agree up to rounding."""

    @property
    def name(self) -> str:
        """The name that runs record."""

    @property
    def device(self) -> torch.device:
        """The device of weights and images."""

    def replicates(self, network: Network, training: TrainingSettings) -> int:
        """How many replicates of a network are trained faster together than one after the other; at least 1."""

    def run(
            self, task: 'Task', state: State, *, trainable: Tensor, stops: Iterable[int],
            parametrization: Parametrization | None = None) -> Iterator[Segment]:
        """Train from the state and yield a segment at each stop, an iteration. The given state is not changed.

        Weights outside `trainable` (R, N) keep their bits. With a parametrization, `state.weights` and `trainable` are
        the learned parameters and their mask: (R, L). A stop is taken when the segment before it was processed, so
        stops may depend on what was trained so far. The first stop may be the iteration of the state: its segment has
        no steps. More stops change no bit.
        """

    def gradient(self, task: 'Task', state: State) -> BatchGradient:
        """The gradient of the batch of the iteration `state.step`, for all weights of the state. LthError if a
        layer has none.
        """

    def evaluate(
            self, task: 'Task', state: State, indices: Sequence[Tensor] | None, token: object = None, /) -> Metrics:
        """Loss and accuracy on images of the training set, or on the test set if `indices` is None.

        `indices` holds one tensor (n,) for each replicate. `token` is the token of the segment that holds this state,
        if this engine yielded it.
        """

    def reestimate_batch_norm(self, task: 'Task', state: State, *, at_most: int = 10_000) -> State:
        """The state with BatchNorm's running statistics computed again, over at most this many training images.

        The images are not augmented. A network without BatchNorm keeps its state.
        """


class Checkpoints(Protocol):
    """Saves trainings in progress, so that they continue where they were interrupted. One training after the other is
    the current one.
    """

    def resume(self, task: 'Task', start: TrainingStart) -> Snapshot | None:
        """The snapshot that was saved of the training with this start, None if there is none. It becomes the
        current training.
        """

    def next_stop(self, step: int) -> int:
        """The iteration after `step` at which the current training calls `keep` again, at the latest."""

    def is_due(self, step: int) -> bool:
        """Whether `keep` would save a snapshot of the current training at this iteration."""

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the latest snapshot of the current training, and save it if a checkpoint is due. If the process was
        asked to end, save it and raise KeyboardInterrupt. Its tensors must not change any more.
        """

    def check(self) -> None:
        """Do the same with the snapshot that was kept, within long work between two snapshots."""


# Called with the iteration after each step or few steps, and with a measurement where one was made.
OnStep = Callable[[int, Measurement | None], None]


def ignore_step(_step: int, _measurement: Measurement | None) -> None:
    """An OnStep that does nothing."""


@dataclass(frozen=True)
class Task:
    """A network, its data and settings, an engine, and one seed for each replicate.

    `split_seeds` select the validation images if `seeds` should not: copies of one network then train on the same
    images in different orders. Without `checkpoints` no training in progress is saved. `watch` sees the weights at
    each measurement. `penalties` are the settings besides the weight decay that pull what is trained towards 0, with
    their factors.
    """

    network: Network
    data: Dataset
    data_settings: DataSettings
    training: TrainingSettings
    seeds: tuple[int, ...]
    engine: Engine
    on_step: OnStep = ignore_step
    split_seeds: tuple[int, ...] = ()
    checkpoints: Checkpoints | None = None
    watch: Watch | None = None
    penalties: tuple[tuple[str, float], ...] = ()

    @property
    def run_seeds(self) -> tuple[int, ...]:
        """The seeds of the run to which the replicates belong: several are the same for copies of one network."""

        return self.split_seeds or self.seeds

    @cached_property
    def splits(self) -> list[tuple[Tensor, Tensor]]:
        """The training and validation images of each replicate, as indices into the training set."""

        count = len(self.data.train.labels)
        return [sampling.split_indices(count, self.data_settings, seed) for seed in self.run_seeds]

    @cached_property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch, without a last, smaller one: its images appear in other epochs."""

        return steps_per_epoch(len(self.data.train.labels), self.data_settings, self.training)

    @cached_property
    def learning_rates(self) -> Rates:
        """Learning rate of every step: (T,)."""

        return learning_rates(self.training, self.steps_per_epoch)

    @cached_property
    def cycle_ends(self) -> tuple[int, ...]:
        """The iterations at which the cycles of the training end; the last one is T."""

        return self.training.cycle_ends(self.steps_per_epoch)

    @property
    def steps(self) -> int:
        """T, the number of iterations of a complete training."""

        return self.training.steps(self.steps_per_epoch)


def steps_per_epoch(images: int, data: DataSettings, training: TrainingSettings) -> int:
    """The number of full batches in a training set of `images` images, without those held out for validation.

    Raises LthError if there is no full batch.
    """

    if data.validation >= images:
        raise LthError(f'data.validation: {data.validation:,} images for validation leave none of the {images:,} '
                       f'training images of {data.name}. Choose fewer.')
    remaining = sampling.training_count(images, data)
    if remaining == 0:
        raise LthError(f'data.share: a share of {data.share} of {images - data.validation:,} images leaves no image. '
                       'Choose a larger share.')
    if remaining < training.batch_size:
        raise LthError(f'batch_size: {training.batch_size} is more than the {remaining} training images of {data.name} '
                       f'({images} minus {data.validation} for validation). Use a smaller batch (-b) or fewer '
                       'validation images (data.validation).')
    return remaining // training.batch_size
