"""Scores that are computed on the same number of training images of each class, as second-order scores are.

The network is in evaluation mode: dropout is off, and BatchNorm uses running statistics, so that the gradient of an
image does not depend on the other images of its batch.
"""
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from lth.algorithms.at_init import base
from lth.datasets import sampling
from lth.errors import LthError
from lth.training.engines.metrics import training_batches
from lth.training.task import Task


class SampleSettings(base.ScoreSettings):
    """Scores are computed on the first `samples_per_class` training images of each class, in the order of the seed's
    first epoch, without augmentation. `statistics` are those of BatchNorm (base.with_statistics).
    """

    samples_per_class: int = Field(
        10, ge=1, description='Number of training images of each class on which scores are computed.')
    statistics: Literal['warm', 'initial'] = Field(
        'warm', description="BatchNorm's statistics while scores are computed: see docs/gems.md.")


def class_batches(task: Task, per_class: int, weights: Tensor, *, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, C, H, W) and labels (B,) of a task of one seed, in batches of at most `size`, in the precision and on
    the device of the weights. LthError if a class has fewer training images.
    """

    return training_batches(task, _sampled_rows(task, per_class), size, weights)


def _sampled_rows(task: Task, per_class: int) -> Tensor:
    """The images as indices into the training set, in the order of the classes."""

    order = sampling.epoch_order(task.splits[0][0], task.seeds[0], 0).cpu()
    labels = task.data.train.labels.cpu()[order]
    rows = [order[labels == label][:per_class] for label in range(task.network.classes)]
    for label, found in enumerate(rows):
        if len(found) < per_class:
            advice = f'Use at most {len(found)}' if len(found) else 'Use images of every class'
            raise LthError(
                f'algorithm.samples_per_class: {per_class} images of each class are needed, but class {label} of '
                f'{task.data_settings.name} has {len(found)} training images (seed {task.seeds[0]}). {advice}, or more '
                'of the data (data.share, data.validation).')
    return torch.cat(rows)
