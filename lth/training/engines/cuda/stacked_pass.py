"""The pass of several replicates of a convolutional network in which each convolution is one kernel for all of them.

It is an alternative to branches.py, where each replicate has kernels of its own.
"""
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap

from lth.models.network import Buffers, Network
from lth.training.engines.backward import Backward
from lth.training.engines.batches import Batches
from lth.training.engines.cuda.branches import aligned_rows
from lth.training.engines.cuda.stacked_convolutions import make_stacked_convolutions


def make_stacked_pass(
        network: Network, weights: Tensor, buffers: Buffers, batches: Batches, *,
        low_precision: torch.dtype | None = None) -> Backward:
    """Return the pass of a network for these weights (R, N) and buffers (R, ...) in place.

    Its parameters are views (R, ...) of all replicates, which only `FusedOptimizer` can update: torch.optim takes views
    with gaps for dense memory. With `low_precision` the weights of convolutions and dense layers are read from a copy
    in this type, which has to be updated with the weights.
    """

    module = make_stacked_convolutions(network.module).train()
    width, copied = network.layout.weight_count, None
    if low_precision:
        copied = aligned_rows(weights[:, :width].to(low_precision))
    leaves = {slot.name: slot.view(weights if copied is None or slot.stop > width else copied).detach()
              for slot in network.layout.slots}
    parameters = [leaf.requires_grad_() for leaf in leaves.values()]

    def forward(
            named: dict[str, Tensor], state: Buffers, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = functional_call(module, {**named, **state}, (images,)).float()
        return F.cross_entropy(logits, labels), (logits.detach().argmax(1) == labels).sum()

    stacked = vmap(forward)

    def run(columns: Tensor) -> tuple[Tensor, Tensor]:
        images, labels = batches.batch(columns)
        images = images.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        losses, correct = stacked(leaves, buffers, images, labels)
        # Not losses.backward(): it would copy gradients, as it takes views with gaps to be of no particular order.
        gradients = torch.autograd.grad(losses.sum(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return losses.detach(), correct
    return Backward(parameters, lambda vector: list(network.layout.unpack(vector).values()), run, copied)
