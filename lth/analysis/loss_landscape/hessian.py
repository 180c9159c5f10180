"""The Hessian of the training loss with respect to the kept weights of a network, by products with vectors.

Only the rows and columns of kept weights count: pruned weights, biases and parameters of BatchNorm are constants. The
network is in evaluation mode, so that BatchNorm and dropout do not depend on the batch. curvlinops multiplies.
"""
import contextlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lth.errors import LthError
from lth.models.network import Buffers, Network
from lth.models.requirements import module_copy

# Random vectors for the trace. A Hessian with as many rows is computed exactly.
PROBES = 50
# Relative accuracy of the eigenvalue, and restarts until it must be reached.
_TOLERANCE, _MOST_RESTARTS = 1e-3, 100
# The product with n kept weights: (n,) -> (n,), float64.
Product = Callable[[Tensor], Tensor]
Batches = Sequence[tuple[Tensor, Tensor]]


class Spectrum(NamedTuple):
    """The largest eigenvalue of a Hessian, its trace, and the standard error of the trace, 0 if it is exact."""

    eigenvalue: float
    trace: float
    trace_error: float


def require_curvlinops() -> None:
    """LthError if the package that multiplies by Hessians is not installed."""

    if importlib.util.find_spec('curvlinops') is None:
        raise LthError("--curvature needs the package curvlinops-for-pytorch. Install it with: pip install "
                       "'lth[curvature]'")


def hessian_product(network: Network, weights: Tensor, buffers: Buffers, mask: Tensor, batches: Batches) -> Product:
    """The product with the Hessian of the mean cross-entropy over the batches of inputs and labels, for weights (N,)
    and the weights that the mask (P,) keeps: vectors (n,) in the order of the layers, each layer in torch's order.
    """

    module = _module(network, weights, buffers)
    parameters = dict(module.named_parameters())
    masks = network.layout.unpack(mask)
    kept = torch.cat([part.flatten() for part in masks.values()])
    with _without_future_warnings():
        # An optional package, which is slow to import.
        from curvlinops import HessianLinearOperator  # pylint: disable=import-outside-toplevel
    operator = HessianLinearOperator(
        module, nn.CrossEntropyLoss(), [parameters[name] for name in masks], batches, check_deterministic=False)

    def product(vector: Tensor) -> Tensor:
        full = torch.zeros(len(kept), dtype=weights.dtype, device=weights.device)
        full[kept] = vector.to(full)
        with _without_future_warnings(), _differentiable_kernels(module):
            result: Tensor = operator @ full
        return result[kept].double().cpu()
    return product


def spectrum(product: Product, count: int, random: torch.Generator) -> Spectrum:
    """The largest eigenvalue of a symmetric matrix of `count` rows, by Lanczos iterations, and its trace, by
    Hutchinson's estimate over 50 vectors of random signs. A matrix of at most 50 rows is computed exactly. LthError if
    the eigenvalue does not converge, or if the loss is not finite.
    """

    if count <= PROBES:
        matrix = torch.stack([product(row) for row in torch.eye(count, dtype=torch.float64)])
        _refuse_infinite(matrix)
        return Spectrum(float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[-1]), float(matrix.trace()), 0.)
    signs = torch.randint(2, (PROBES, count), generator=random, dtype=torch.float64) * 2 - 1
    estimates = torch.stack([vector @ product(vector) for vector in signs])
    _refuse_infinite(estimates)
    start = torch.randn(count, generator=random, dtype=torch.float64).numpy()
    return Spectrum(_largest_eigenvalue(product, start), float(estimates.mean()),
                    float(estimates.std()) / math.sqrt(PROBES))


@contextlib.contextmanager
def _without_future_warnings() -> Iterator[None]:
    """In this block torch does not warn of functions that packages, and its own forward derivatives, still use."""

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', FutureWarning)
        yield


@contextlib.contextmanager
def _differentiable_kernels(module: nn.Module) -> Iterator[None]:
    """In this block torch uses kernels that it can differentiate forwards: neither oneDNN's LSTM, which CPUs use, nor
    fused attention.
    """

    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(part, nn.LSTM) for part in module.modules()):
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings('ignore', message='TF32 acceleration')
            stack.enter_context(torch.backends.mkldnn.flags(enabled=False))
        yield


def _largest_eigenvalue(product: Product, start: 'np.typing.NDArray[np.float64]') -> float:
    if not bool(product(torch.from_numpy(start)).any()):
        return 0.  # as of a network without a path from input to output; ARPACK refuses a zero matrix
    operator = scipy.sparse.linalg.LinearOperator(
        (len(start), len(start)), matvec=lambda vector: product(torch.from_numpy(vector.reshape(-1))).numpy(),
        dtype=np.float64)
    try:
        (eigenvalue,) = scipy.sparse.linalg.eigsh(
            operator, k=1, which='LA', v0=start, tol=_TOLERANCE, maxiter=_MOST_RESTARTS, return_eigenvectors=False)
    except scipy.sparse.linalg.ArpackNoConvergence:
        raise LthError(f'The largest eigenvalue of the Hessian did not converge in {_MOST_RESTARTS} restarts: the '
                       'eigenvalues around it are too close to each other. Choose more images with --images, or other '
                       'rounds.') from None
    return float(eigenvalue)


def _module(network: Network, weights: Tensor, buffers: Buffers) -> nn.Module:
    """A copy of the network's module in evaluation mode with these weights (N,) and buffers."""

    module = module_copy(network.module, network.settings.name).eval().to(weights.device)
    values = network.layout.unpack(weights) | buffers
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            tensor.copy_(values[name])
    return module


def _refuse_infinite(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise LthError('The Hessian of the training loss is not finite, so it has no curvature to report. Choose other '
                       'rounds with --rounds.')
