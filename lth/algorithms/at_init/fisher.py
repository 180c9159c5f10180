"""Empirical Fisher ("What scalable second-order information knows for pruning at initialization", arXiv 2502.11450).

The diagonal of the Hessian is replaced by that of the empirical Fisher matrix, the mean of the squared gradients of
single images. Removing a weight then changes the loss by w² · mean(g²) / 2; the factor 1/2 does not change the ranking.
"""
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lth.algorithms.at_init import base
from lth.algorithms.at_init.class_samples import SampleSettings, class_batches
from lth.algorithms.at_init.loss_gradients import bind_contiguous, pack_prunable, prunable_parameters
from lth.algorithms.base import ALGORITHMS
from lth.models.network import Buffers
from lth.pruning.tickets import Ticket
from lth.training.engines.dropout_rng import same_noise
from lth.training.task import Task


class Settings(SampleSettings):
    """No additional settings."""

    name: Literal['fisher']

    def mask_operations(self, dense: int, _batch_size: int, classes: int) -> int:
        """A forward and a backward pass for each image."""

        return 3 * dense * self.samples_per_class * classes


@ALGORITHMS.register('fisher', settings=Settings)
@base.mask_at_init
def fisher(task: Task, settings: Settings, start: Ticket) -> Tensor:
    """Keep the weights with the largest w² · mean(g²), the diagonal of the empirical Fisher matrix (arXiv 2502.11450).
    """

    score = partial(scores, samples_per_class=settings.samples_per_class)
    return base.score_mask(task, settings, start, score, settings.statistics)


def scores(task: Task, weights: Tensor, buffers: Buffers, *, samples_per_class: int = 10) -> Tensor:
    """w² · mean(g²) of one network, where the mean is over the images of all classes: (N,) -> (P,)."""

    layout, module = task.network.layout, bind_contiguous(task, weights, buffers).eval()
    parameters = prunable_parameters(layout, module)
    squares, images = torch.zeros_like(weights[:layout.prunable_count]), 0
    with same_noise(task, 0):
        for image, label in class_batches(task, samples_per_class, weights, size=1):
            loss = F.cross_entropy(module(image.contiguous()), label)
            gradient = torch.autograd.grad(loss, parameters, materialize_grads=True)
            squares += pack_prunable(layout, gradient) ** 2
            images += 1
    return weights[:layout.prunable_count] ** 2 * squares / images
