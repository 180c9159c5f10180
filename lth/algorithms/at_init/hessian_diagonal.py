"""The gradient and the diagonal of the Hessian at initialization, by Hutchinson's estimator.

For a vector z of random signs, the mean of z ⊙ (H z) is the diagonal of H: z_i z_j has mean 1 for i = j, otherwise 0.
The published code ("What scalable second-order information knows for pruning at initialization", arXiv 2502.11450)
draws other signs for each image; here all images share the draws, so that the scores do not depend on the batch size.
"""
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth import rng
from lth.algorithms.at_init.class_samples import SampleSettings, class_batches
from lth.algorithms.at_init.loss_gradients import bind_contiguous, pack_prunable, prunable_parameters
from lth.models.network import Buffers
from lth.training.engines.dropout_rng import same_noise
from lth.training.task import Task


class HessianSettings(SampleSettings):
    """The diagonal is a mean over `draws` vectors of signs. Logits are divided by `temperature` before the loss."""

    second_derivatives: ClassVar[bool] = True
    overflow: ClassVar[str] = 'logits that are divided by the temperature'
    overflow_remedy: ClassVar[str] = 'a larger algorithm.temperature'

    draws: int = Field(
        10, ge=1, le=100_000, description='Number of vectors of random signs, over which the diagonal is a mean.')
    temperature: float = Field(200., gt=0, description='Logits are divided by it before the loss.')

    def mask_operations(self, dense: int, _batch_size: int, classes: int) -> int:
        """For each image a gradient (3 passes), and for each draw its derivative, which takes twice as many products (6
        passes).
        """

        return (3 + 6 * self.draws) * dense * self.samples_per_class * classes


class Terms(NamedTuple):
    """First and second derivatives of the mean loss with respect to the prunable weights: (P,) each."""

    gradient: Tensor
    diagonal: Tensor


def taylor_terms(task: Task, weights: Tensor, buffers: Buffers, settings: HessianSettings) -> Terms:
    """The gradient and the estimated diagonal of the Hessian of one network, weights (N,)."""

    layout, module = task.network.layout, bind_contiguous(task, weights, buffers).eval()
    parameters = prunable_parameters(layout, module)
    gradient, diagonal = (torch.zeros_like(weights[:layout.prunable_count]) for _ in range(2))
    images = settings.samples_per_class * task.network.classes
    batches = class_batches(task, settings.samples_per_class, weights, size=task.training.batch_size)
    with same_noise(task, 0), sdpa_kernel(SDPBackend.MATH):  # the only kernel of attention with second derivatives
        for inputs, labels in batches:
            logits = module(inputs.contiguous()) / settings.temperature
            loss = F.cross_entropy(logits, labels, reduction='sum') / images
            slopes = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
            gradient += pack_prunable(layout, [slope.detach() for slope in slopes])
            for draw in range(settings.draws):
                signs = draw_signs(task.seeds[0], draw, weights[:layout.prunable_count])
                along = zip(slopes, layout.unpack(signs).values(), strict=True)
                product = torch.autograd.grad(torch.stack([(slope * sign).sum() for slope, sign in along]).sum(),
                                              parameters, retain_graph=True, materialize_grads=True)
                diagonal += signs * pack_prunable(layout, product) / settings.draws
    return Terms(gradient, diagonal)


def draw_signs(seed: int, draw: int, like: Tensor) -> Tensor:
    """The random signs of a draw, in the precision and on the device of `like`: (P,)."""

    signs = torch.randint(0, 2, like.shape, generator=rng.generator(seed, 'hutchinson', draw)) * 2 - 1
    return signs.to(like)
