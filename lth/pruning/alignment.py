"""Alignment: the permutation of channels by which one dense network becomes similar to another one.

A mask belongs to the initial weights from which it was found. If both dense networks were trained, their channels are
matched by their activations, and the mask is carried to the other initial weights by the same permutation (Adnan et al.
2025, "Sparse training from random initialization", section 3; the matching is that of Ainsworth et al. 2023).
"""
from collections.abc import Iterator, Mapping, Sequence

import scipy
import torch
from torch import Tensor
from torch.func import functional_call

from lth.models.channel_groups import ChannelGroup, FunctionCounter
from lth.models.flat_parameters import Layout
from lth.models.network import Buffers, Network

# Added to the product of standard deviations, as in the authors' code: channels that never change correlate with none.
_EPSILON = 1e-4


class _Moments:
    """Sums of the features of a group, from which covariances are computed: rows are images and pixels."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: tuple[Tensor, ...] = ()

    def add(self, first: Tensor, second: Tensor) -> None:
        """Add rows of both networks: (n, C) each."""

        first, second = first.to(torch.float64), second.to(torch.float64)
        sums = first.sum(0), second.sum(0), (first * first).sum(0), (second * second).sum(0), first.T @ second
        self.sums = tuple(map(torch.add, self.sums, sums)) if self.sums else sums
        self.count += len(first)

    def similarity(self) -> Tensor:
        """The covariance over the product of standard deviations and a small number: (C, C), first × second."""

        one, two, square, other, product = (total / self.count for total in self.sums)
        deviations = [(mean_square - mean * mean).clamp(min=0).sqrt()
                      for mean_square, mean in ((square, one), (other, two))]
        return (product - torch.outer(one, two)) / (torch.outer(*deviations) + _EPSILON)


def match_channels(
        network: Network, groups: Sequence[ChannelGroup], first: tuple[Tensor, Buffers], second: tuple[Tensor, Buffers],
        batches: Iterator[Tensor]) -> list[Tensor]:
    """The permutation of each group, (C,), by which the channels of the first network match those of the second one:
    channel i of the permuted network is channel permutation[i] of the first. Networks are weights (N,) and buffers.
    """

    moments = [_Moments() for _ in groups]
    for images in batches:
        features = [_features(network, groups, *one, images) for one in (first, second)]
        for group, own, other in zip(moments, *features, strict=True):
            group.add(own, other)
    return [_assign(group.similarity()) for group in moments]


def permute_parameters(
        layout: Layout, groups: Sequence[ChannelGroup], permutations: Sequence[Tensor], vector: Tensor) -> Tensor:
    """A vector with the values of a permuted network, (N,) weights or a mask of the prunable ones (P,)."""

    return layout.pack(permute_tensors(groups, permutations, layout.unpack(vector)))


def permute_tensors(
        groups: Sequence[ChannelGroup], permutations: Sequence[Tensor], tensors: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Named tensors of a network with permuted channels. Names that no group has are not changed."""

    permuted = dict(tensors)
    for group, permutation in zip(groups, permutations, strict=True):
        for axis in group.axes:
            if axis.name in permuted:
                tensor = permuted[axis.name]
                order = _entries(permutation.to(tensor.device), axis.repeats)
                permuted[axis.name] = tensor.index_select(axis.dim, order)
    return permuted


def _entries(permutation: Tensor, repeats: int) -> Tensor:
    """The order of entries of which each channel has several: of (1, 0) and 2 it is (2, 3, 0, 1)."""

    return (permutation[:, None] * repeats + torch.arange(repeats, device=permutation.device)).flatten()


def _assign(similarity: Tensor) -> Tensor:
    """For each channel of the second network, the one of the first that it is matched with."""

    rows, columns = scipy.optimize.linear_sum_assignment(similarity.cpu().numpy(), maximize=True)
    permutation = torch.empty(len(rows), dtype=torch.int64)
    permutation[torch.as_tensor(columns)] = torch.as_tensor(rows)
    return permutation


@torch.no_grad()
def _features(
        network: Network, groups: Sequence[ChannelGroup], weights: Tensor, buffers: Buffers, images: Tensor,
) -> list[Tensor]:
    """The features of each group on images (B, C, H, W): rows (n, C)."""

    found: dict[int, Tensor] = {}
    wanted = {group.number for group in groups}

    def keep(number: int, output: Tensor) -> None:
        if number in wanted:
            found[number] = output.clone()

    tensors = {**network.layout.unpack(weights), **buffers}
    with FunctionCounter(keep):
        functional_call(network.module, tensors, (images,))
    return [_rows(found[group.number], group.size) for group in groups]


def _rows(features: Tensor, channels: int) -> Tensor:
    """Features as rows: (B, C, H, W) -> (B · H · W, C)."""

    rows: Tensor = features.unflatten(1, (channels, -1)).flatten(2).transpose(1, 2)
    return rows.reshape(-1, channels)
