"""Whether an export computes the same logits as its network.

It does if no logit differs by more than 1e-5 of the largest one. In deep networks the rounding of float32 alone may
exceed that, since the export adds numbers in another order. Then both are compared in float64. What runs in float32
only, as in onnxruntime, is compared with the float64 logits of the network: it may differ by at most four times as much
as the network itself does in float32.
"""
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lth.errors import LthError
from lth.exports.export_format import Loaded, Logits

TOLERANCE = 1e-5
_TIMES_ROUNDING = 4.
Precision = Literal['float32', 'float64', 'float32 against float64']


class Comparison(NamedTuple):
    """The largest difference of logits, and the largest absolute logit, over all images. `single_difference` is that in
    float32, which is larger if the comparison was repeated in another `precision`.
    """

    images: int
    precision: Precision
    difference: float
    largest: float
    single_difference: float


def compare(network: Loaded, export: Loaded, images: Tensor, size: int) -> Comparison:
    """Compare an export with its network on inputs (n, C, H, W), in batches of `size`. LthError if they differ."""

    expected, found = (_logits(one.single, images, size) for one in (network, export))
    _require_finite(expected)
    largest, difference = float(expected.abs().max()), _difference(expected, found)
    if difference <= TOLERANCE * largest:
        return Comparison(len(images), 'float32', difference, largest, difference)
    assert network.double is not None
    exact = _logits(network.double, images.double(), size)
    if export.double is None:
        limit, precision, second = _TIMES_ROUNDING * _difference(exact, expected), 'float32 against float64', found
    else:
        limit, precision = TOLERANCE * largest, 'float64'
        second = _logits(export.double, images.double(), size)
    second_difference = _difference(exact, second)
    if not second_difference <= limit:
        raise LthError(f'The export computes other logits than the network, by up to {difference:.2g} in float32 where '
                       f'the largest logit is {largest:.2g}, and by {second_difference:.2g} compared in {precision}. '
                       'Nothing was written. Choose another format, and please report this model.')
    return Comparison(len(images), precision, second_difference, largest, difference)  # type: ignore[arg-type]


@torch.inference_mode()
def _logits(function: Logits, images: Tensor, size: int) -> Tensor:
    return torch.cat([function(batch) for batch in images.split(size)])


def _difference(first: Tensor, second: Tensor) -> float:
    """The largest difference; infinite if a logit is not finite, or if the shapes differ."""

    if first.shape != second.shape or not second.isfinite().all():
        return float('inf')
    return float((first.double() - second.double()).abs().max())


def _require_finite(logits: Tensor) -> None:
    if not logits.isfinite().all():
        raise LthError('The logits of the network are not finite on all of the images, so that an export cannot be '
                       'compared with it. Export another round.')
