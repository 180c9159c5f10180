"""Parametrizations: how scores select or scale weights in each training step, and the gradients of the scores.

These functions of the scores have no useful gradient. The straight-through estimator is used: the gradient of a
weight's factor is taken as the gradient of its score (Bengio et al. 2013). To add a parametrization, write a class that
implements `lth.training.task.Parametrization`.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth import rng
from lth.algorithms.trained_masks.regularizers import Penalty, ReplicatePenalty
from lth.models.flat_parameters import Layout, Slot

# Relative half-widths of the bands around the last step's threshold that are searched, in this order.
_BANDS = (0.002, 0.02)


@dataclass(frozen=True)
class _Penalized:
    """Scores with a penalty; `frozen` are the initial weights (R, N)."""

    frozen: Tensor
    penalty: Penalty | ReplicatePenalty

    @property
    def decay(self) -> float:
        """The weight decay of the penalty."""

        return self.penalty.decay


@dataclass(frozen=True)
class Rounded(_Penalized):
    """A weight is used while its score, in [0, 1], is above one half (Sreenivasan et al. 2022)."""

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """Weights with a score above one half, and all parameters that are not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        # The comparison writes floats, because multiplying floats by bools takes 0.3 ms longer for LeNet.
        torch.gt(learned, 0.5, out=out[:, :count]).mul_(self.frozen[:, :count])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """∂loss/∂p = (∂CE/∂w_eff) ⊙ w, plus the gradient of the penalty."""

        part = slice(start, start + gradient.shape[1])
        torch.mul(gradient, self.frozen[:, part], out=out[:, part])
        self.penalty.add_gradient(learned[:, part], self.frozen[:, part], out[:, part])

    def project(self, learned: Tensor) -> None:
        """Clip scores to [0, 1]."""

        learned.clamp_(0, 1)


@dataclass(frozen=True)
class Multiplied(Rounded):
    """A weight is multiplied by its score; scores are rounded after training."""

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """Weights times scores, and all parameters that are not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        torch.mul(learned, self.frozen[:, :count], out=out[:, :count])
        return out


@dataclass(frozen=True)
class Top(_Penalized):
    """The weights with the largest |p| are used, `counts[i]` of the part `bounds[i]` of the vector, which is a layer or
    the whole vector (Ramanujan et al. 2020); with `smallest` those with the smallest |p|. Scores that are equal to the
    threshold are all used.
    """

    bounds: Sequence[tuple[int, int]]
    counts: Sequence[int]
    smallest: bool = False
    _thresholds: dict[tuple[int, int], float] = field(default_factory=dict)

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """The weights that are used, and all parameters that are not prunable: (R, P) -> (R, N)."""

        out, ranking = self.frozen.clone() if out is None else out, learned.abs()
        if self.smallest:
            ranking.neg_()
        for row in range(len(learned)):
            for part, ((start, stop), count) in enumerate(zip(self.bounds, self.counts, strict=True)):
                ranks = ranking[row, start:stop]
                torch.ge(ranks, self._threshold(ranks, count, (row, part)), out=out[row, start:stop])
        out[:, :learned.shape[1]].mul_(self.frozen[:, :learned.shape[1]])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """(∂CE/∂w_eff) ⊙ w ⊙ sign(p), plus the gradient of the penalty."""

        part = slice(start, start + gradient.shape[1])
        torch.mul(gradient, self.frozen[:, part], out=out[:, part]).mul_(learned[:, part].sign())
        self.penalty.add_gradient(learned[:, part], self.frozen[:, part], out[:, part])

    def project(self, _learned: Tensor) -> None:
        """Scores have no limits."""

    def _threshold(self, ranks: Tensor, count: int, key: tuple[int, int]) -> float | Tensor:
        """The smallest value that is used: the `count`-th largest, `count` being at least 1."""

        if ranks.device.type != 'cpu':
            return ranks.kthvalue(len(ranks) - count + 1).values
        values = ranks.numpy()
        last = self._thresholds.get(key)
        threshold = _largest(values, count) if last is None else _largest_near(values, count, last)
        self._thresholds[key] = threshold
        return threshold


def _largest_near(values: NDArray[np.float32], count: int, last: float) -> float:
    """The `count`-th largest value, searched near the value of the step before. This takes 0.13 ms for LeNet's first
    layer, instead of 2.6 ms for a selection among all values.
    """

    for width in _BANDS:
        reach = abs(last) * width
        above = values > last + reach
        band = values[(values >= last - reach) & ~above]
        position = count - int(np.count_nonzero(above))
        if 0 < position <= len(band):
            return _largest(band, position)
    return _largest(values, count)


def _largest(values: NDArray[np.float32], count: int) -> float:
    """The `count`-th largest value."""

    index = len(values) - count
    return float(np.partition(values, index)[index])


@dataclass(frozen=True)
class Bernoulli:
    """A weight is used with probability σ(p), sampled in each step (Zhou et al. 2019, section 5). With `rescale` the
    weights of a layer are multiplied by its size over the number of ones in its mask, and the gradient includes that of
    this factor.
    """

    frozen: Tensor
    layout: Layout
    seeds: Sequence[int]
    rescale: bool
    _scales: dict[str, Tensor] = field(default_factory=dict)
    _masks: dict[str, Tensor] = field(default_factory=dict)
    decay: float = 0.

    def weights(self, learned: Tensor, step: int, out: Tensor | None = None) -> Tensor:
        """The weights sampled for the step, and all parameters that are not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        noise = torch.stack([
            torch.rand(count, generator=rng.generator(seed, 'bernoulli', step)) for seed in self.seeds])
        torch.lt(noise.to(learned.device), learned.sigmoid(), out=out[:, :count])
        if self.rescale:
            self._scales.update(layer_scales(self.layout, out[:, :count]))
            self._masks.update({slot.name: out[:, slot.start:slot.stop].bool() for slot in self.layout.prunable_slots})
        out[:, :count].mul_(self.frozen[:, :count])
        self._scale(out, slice(0, count))
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """∂CE/∂m ⊙ σ'(p). With the factor s = n / Σ m of a layer, w_eff = s w ⊙ m, so that
        ∂CE/∂mᵢ = s (gᵢ wᵢ - Σⱼ gⱼ wⱼ mⱼ / Σ m) with g = ∂CE/∂w_eff.
        """

        part = slice(start, start + gradient.shape[1])
        torch.mul(gradient, self.frozen[:, part], out=out[:, part])
        for slot in self._slots(part):
            layer, mask = out[:, slot.start:slot.stop], self._masks[slot.name]
            layer.sub_((layer * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1))
        probability = learned[:, part].sigmoid()
        out[:, part].mul_(probability * (1 - probability))
        self._scale(out, part)

    def project(self, _learned: Tensor) -> None:
        """Scores have no limits."""

    def _scale(self, vector: Tensor, part: slice) -> None:
        """Multiply the layers in this part of the vector, which consists of complete layers, by their factors."""

        for slot in self._slots(part):
            vector[:, slot.start:slot.stop].mul_(self._scales[slot.name])

    def _slots(self, part: slice) -> list[Slot]:
        """The layers in this part of the vector that have a factor."""

        slots = self.layout.prunable_slots if self.rescale else ()
        return [slot for slot in slots if part.start <= slot.start < part.stop]


def layer_scales(layout: Layout, mask: Tensor) -> dict[str, Tensor]:
    """Size over number of ones in the mask, for each layer: (R, P) -> {name: (R, 1)}."""

    return {slot.name: slot.size / mask[:, slot.start:slot.stop].sum(1, keepdim=True).clamp_min(1)
            for slot in layout.prunable_slots}
