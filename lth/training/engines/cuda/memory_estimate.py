"""How much memory of a GPU the training of one network takes, estimated before it starts, and how many fit at once.

For example, ResNet-20 for CIFAR-10 has 0.27 million weights and 0.40 million activations. With SGD in bf16, a batch of
128 images takes 13 MB for the weights, 207 MB for images and activations, and 49 MB for the images that are evaluated.
"""
import math

import torch

from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.metrics import evaluation_batch_size
from lth.training.engines.network_size import network_size
from lth.training.engines.optimizers import state_vectors

# A part of the free memory that is left to workspaces of cuDNN and cuBLAS, to activations in evaluations, which
# replicates use one after the other, and to gaps between tensors.
_RESERVE = 0.2

# The state that training starts from, the one that is trained, and the one that is returned.
_COPIES = 3

# Validation and test set are evaluated by a graph each, which holds weights and a batch, stored and normalized.
_EVALUATIONS, _BATCHES = 2, 2

# Autograd keeps 1.0 (ResNets) to 1.4 times (Conv-2, for pooling) the outputs of convolutions, dense and normalization
# layers. The rest is for gradients of activations and for copies in another format.
_ACTIVATION_FACTOR = 2


def replicates_that_fit(network: Network, training: TrainingSettings, device: torch.device) -> int:
    """How many replicates are expected to fit into the free memory of a GPU, perhaps 0.

    The images of the data set must be there already. Memory that torch keeps for reuse counts as free.
    """

    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int((1 - _RESERVE) * free) // replicate_bytes(network, training)


def replicate_bytes(network: Network, training: TrainingSettings) -> int:
    """The expected memory of training one replicate in bytes, without the images of the data set."""

    half = training.precision == 'bf16'
    # Vectors of 4 bytes a weight: copies of weights and of the optimizer's vectors, the gradient, the mask's bits, the
    # values of held weights, and the weights that are evaluated. The mask itself has 1 byte.
    vectors = _COPIES * (1 + len(state_vectors(training.optimizer))) + 3 + _EVALUATIONS
    weights = network.layout.size * (4 * vectors + 1 + 2 * half)
    image = 4 * math.prod(network.shape)
    outputs = _ACTIVATION_FACTOR * (2 if half else 4) * network_size(network).activations
    evaluated = _EVALUATIONS * _BATCHES * evaluation_batch_size(network) * image
    return weights + training.batch_size * (image + outputs) + evaluated
