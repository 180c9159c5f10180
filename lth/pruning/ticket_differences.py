"""The differences between two tickets of a seed, measured: what claims of controls and checks of tickets compare."""
from itertools import starmap
from typing import NamedTuple

import scipy
import torch
from torch import Tensor

from lth.models.flat_parameters import Layout
from lth.pruning.tickets import Ticket


class TicketDifference(NamedTuple):
    """The differences between two tickets of one seed, measured by comparison.

    `kept_before` and `kept` are the numbers of weights in the two masks, `positions` the number of weights that are
    only in the first. Of the weights in both masks, `weights` differ in value and `signs` in sign. `values_kept`:
    whether each layer holds the same values, in any order. `distribution`: p-value of a Kolmogorov-Smirnov test that
    the new weights of a layer have the distribution of the dense network's layer, the smallest of all layers, times
    their number; `magnitudes`: the same of their absolute values. `emptied`: names of the layers without weights.
    """

    kept_before: int
    kept: int
    layer_counts_kept: bool
    positions: int
    weights: int
    signs: int
    values_kept: bool
    distribution: float
    magnitudes: float
    emptied: tuple[str, ...]


def compare_tickets(layout: Layout, origin: Ticket, before: Ticket, after: Ticket) -> list[TicketDifference]:
    """The differences between two tickets of the same seeds, one for each seed."""

    return [_compare_rows(layout, *(tensor[row] for tensor in (
        origin.weights, before.mask, before.weights, after.mask, after.weights))) for row in range(len(before.mask))]


def _compare_rows(
        layout: Layout, origin: Tensor, mask: Tensor, weights: Tensor, new_mask: Tensor, new_weights: Tensor,
) -> TicketDifference:
    """The differences in one replicate: masks (P,), weights (N,)."""

    old, new, both = weights[:len(mask)], new_weights[:len(mask)], mask & new_mask
    parts = {slot.name: slice(slot.start, slot.stop) for slot in layout.prunable_slots}
    pairs = [(new[part][new_mask[part]], origin[part]) for part in parts.values()]
    return TicketDifference(
        kept_before=int(mask.sum()), kept=int(new_mask.sum()),
        layer_counts_kept=all(int(mask[part].sum()) == int(new_mask[part].sum()) for part in parts.values()),
        positions=int((mask & ~new_mask).sum()), weights=int((old != new)[both].sum()),
        signs=int((old.sign() != new.sign())[both].sum()),
        values_kept=all(_same_values(old[part][mask[part]], new[part][new_mask[part]]) for part in parts.values()),
        distribution=min(1., len(parts) * min(starmap(_distribution_p_value, pairs))),
        magnitudes=min(1., len(parts) * min(_distribution_p_value(new.abs(), old.abs()) for new, old in pairs)),
        emptied=tuple(name for name, part in parts.items() if not new_mask[part].any()))


def _same_values(one: Tensor, other: Tensor) -> bool:
    """Whether two vectors hold the same values in any order."""

    return torch.equal(one.sort().values, other.sort().values)


def _distribution_p_value(sample: Tensor, layer: Tensor) -> float:
    """The p-value of a Kolmogorov-Smirnov test that a sample has the distribution of the weights of a layer."""

    if sample.numel() == 0:
        return 1.
    return float(scipy.stats.ks_2samp(sample.cpu().numpy(), layer.cpu().numpy(), method='asymp').pvalue)
