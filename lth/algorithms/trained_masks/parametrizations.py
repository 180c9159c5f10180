"""What scores make of weights, step by step, and how they are taught.

None of these functions of the scores has a useful gradient, so it is passed straight through: a score has the gradient
of its weight's factor as if that were the score itself (Bengio et al. 2013). A new one fulfils `task.Parametrization`.
"""
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lth import rng
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.models.flat_parameters import Layout

# Half the widths of the bands around the last step's edge in which this step's is looked for, one after the other.
_BANDS = (0.002, 0.02)


@dataclass(frozen=True)
class Rounded:
    """A weight takes part while its score, in [0, 1], is above one half (Sreenivasan et al. 2022)."""

    frozen: Tensor
    penalty: Penalty

    @property
    def decay(self) -> float:
        """That of the penalty."""

        return self.penalty.decay

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """Weights whose score is above one half, and all that is not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        # Compared into floats, for a product of floats with bools takes LeNet 0.3 ms more.
        torch.gt(learned, 0.5, out=out[:, :count]).mul_(self.frozen[:, :count])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """∂loss/∂p = (∂CE/∂w_eff) ⊙ w, and the penalty's."""

        part = slice(start, start + gradient.shape[1])
        torch.mul(gradient, self.frozen[:, part], out=out[:, part])
        self.penalty.add_gradient(learned[:, part], out[:, part])

    def project(self, learned: Tensor) -> None:
        """Scores stay within [0, 1]."""

        learned.clamp_(0, 1)


@dataclass(frozen=True)
class Multiplied(Rounded):
    """A weight is multiplied by its score; rounding comes at the end."""

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """Weights times scores, and all that is not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        torch.mul(learned, self.frozen[:, :count], out=out[:, :count])
        return out


@dataclass(frozen=True)
class Top:
    """The weights with the largest |p| take part, so many of each part of the vector, be it a layer or all of it
    (Ramanujan et al. 2020); upside down, those with the smallest.

    `bounds` are the parts, `counts` how many of each. Equal scores at the edge take part together.
    """

    frozen: Tensor
    penalty: Penalty
    bounds: Sequence[tuple[int, int]]
    counts: Sequence[int]
    smallest: bool = False
    _edges: dict[tuple[int, int], float] = field(default_factory=dict)

    @property
    def decay(self) -> float:
        """That of the penalty."""

        return self.penalty.decay

    def weights(self, learned: Tensor, _step: int, out: Tensor | None = None) -> Tensor:
        """The weights that take part, and all that is not prunable: (R, P) -> (R, N)."""

        out, sizes = self.frozen.clone() if out is None else out, learned.abs()
        if self.smallest:
            sizes.neg_()
        for row in range(len(learned)):
            for part, ((start, stop), count) in enumerate(zip(self.bounds, self.counts, strict=True)):
                ranked = sizes[row, start:stop]
                torch.ge(ranked, self._edge(ranked, count, (row, part)), out=out[row, start:stop])
        prunable = out[:, :learned.shape[1]]
        prunable.mul_(self.frozen[:, :learned.shape[1]])
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """(∂CE/∂w_eff) ⊙ w ⊙ sign(p), and the penalty's."""

        part = slice(start, start + gradient.shape[1])
        torch.mul(gradient, self.frozen[:, part], out=out[:, part]).mul_(learned[:, part].sign())
        self.penalty.add_gradient(learned[:, part], out[:, part])

    def project(self, _learned: Tensor) -> None:
        """Scores may be anywhere."""

    def _edge(self, ranked: Tensor, count: int, place: tuple[int, int]) -> float | Tensor:
        """The last value that takes part: the `count` largest, at least 1."""

        if ranked.device.type != 'cpu':
            return ranked.kthvalue(len(ranked) - count + 1).values
        values = ranked.numpy()
        edge = _near(values, count, self._edges.get(place))
        self._edges[place] = edge
        return edge


def _near(values: NDArray[np.float32], count: int, last: float | None) -> float:
    """The `count`-th largest value, looked for near the one of the step before: for LeNet's first layer 0.13 ms, where
    a selection among all takes 2.6.
    """

    for width in _BANDS if last is not None else ():
        assert last is not None
        reach = abs(last) * width
        above = values > last + reach
        band = values[(values >= last - reach) & ~above]
        place = count - int(np.count_nonzero(above))
        if 0 < place <= len(band):
            return float(np.partition(band, len(band) - place)[len(band) - place])
    return float(np.partition(values, len(values) - count)[len(values) - count])


@dataclass(frozen=True)
class Bernoulli:
    """A weight takes part with the probability σ(p), drawn anew for every step (Zhou et al. 2019, section 5). With
    `rescale` those of a layer are multiplied by its weights over the ones in its mask.
    """

    frozen: Tensor
    layout: Layout
    seeds: Sequence[int]
    rescale: bool
    _scales: dict[str, Tensor] = field(default_factory=dict)
    decay: float = 0.

    def weights(self, learned: Tensor, step: int, out: Tensor | None = None) -> Tensor:
        """Weights as drawn for the step, and all that is not prunable: (R, P) -> (R, N)."""

        out, count = self.frozen.clone() if out is None else out, learned.shape[1]
        noise = torch.stack([
            torch.rand(count, generator=rng.generator(seed, 'bernoulli', step)) for seed in self.seeds])
        torch.lt(noise.to(learned.device), learned.sigmoid(), out=out[:, :count])
        if self.rescale:
            self._scales.update(layer_scales(self.layout, out[:, :count]))
        out[:, :count].mul_(self.frozen[:, :count])
        self._scale(out, slice(0, count))
        return out

    def gradient(self, learned: Tensor, gradient: Tensor, out: Tensor, start: int = 0) -> None:
        """(∂CE/∂w_eff) ⊙ w ⊙ σ'(p), times the layer's factor."""

        part = slice(start, start + gradient.shape[1])
        share = learned[:, part].sigmoid()
        torch.mul(gradient, self.frozen[:, part], out=out[:, part]).mul_(share * (1 - share))
        self._scale(out, part)

    def project(self, _learned: Tensor) -> None:
        """Scores may be anywhere."""

    def _scale(self, vector: Tensor, part: slice) -> None:
        """Multiplies the layers in this part of the vector, which holds whole ones, by their factors."""

        for slot in self.layout.prunable_slots if self.rescale else ():
            if part.start <= slot.start < part.stop:
                vector[:, slot.start:slot.stop].mul_(self._scales[slot.name])


def layer_scales(layout: Layout, mask: Tensor) -> dict[str, Tensor]:
    """Weights over ones in the mask, of each layer: (R, P) -> {name: (R, 1)}. A layer without ones stays as it is."""

    return {slot.name: slot.size / mask[:, slot.start:slot.stop].sum(1, keepdim=True).clamp_min(1)
            for slot in layout.prunable_slots}
