"""Controls of a ticket or gem: the same with one respect changed, each proving what it changed.

A control is a function (task, origin, ticket, draw) -> ticket, where `origin` is the dense network that the ticket was
cut from and `draw` the numbers that tell its random draws from others of the seed, with the claims it makes (Frankle &
Carbin 2019, section 4; Su et al. 2020; Frankle et al. 2021). A new one is a function here with its name, claims and
words above it.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning import layer_densities, masks
from lth.pruning.layer_densities import LayerCounts
from lth.pruning.tickets import Ticket, dense_ticket, mask_ticket
from lth.recipes.schema import AlgorithmSettings
from lth.registry.registry import BaseRegistry
from lth.training.task import Task

Draw = Sequence[int]
Change = Callable[[Task, Ticket, Ticket, Draw], Ticket]
Claim = Literal['mask kept', 'layer counts kept', 'count kept', 'mask differs', 'weights differ', 'values kept',
                'same distribution', 'all kept', 'weights kept']
# A chance in a million that weights of one distribution are taken for those of two.
_UNLIKELY = 1e-6
# Not controls themselves, but what tickets and controls are compared with.
STANDARDS = ('original', 'dense')


@dataclass(frozen=True)
class Control:
    """A change of a ticket, with the claims that are verified each time. `summary` is the first sentence of its
    docstring. `layer_counts` computes how many weights each layer keeps, None if that depends on the ticket only. With
    `within_mask` the change leaves the weights outside the mask as they are.
    """

    change: Change
    claims: tuple[Claim, ...]
    summary: str
    layer_counts: LayerCounts | None = None
    within_mask: bool = False


class TicketDifference(NamedTuple):
    """What really changed in one seed: found by comparing, never by trusting.

    `kept_before` and `kept` count the weights of the two masks. `positions` counts weights that were kept and are not
    any more, `weights` and `signs` those kept in both that differ; `values_kept`: the same numbers in each layer,
    perhaps elsewhere; `distribution`: the p-value that a layer's new weights are of another distribution than the dense
    network's layer (Kolmogorov-Smirnov, times layers); `emptied`: layers without a weight.
    """

    kept_before: int
    kept: int
    layer_counts_kept: bool
    positions: int
    weights: int
    signs: int
    values_kept: bool
    distribution: float
    emptied: tuple[str, ...]


class Controls(BaseRegistry[Control]):
    """Controls by name."""

    def register(
            self, name: str, *aliases: str, claims: Sequence[Claim], layer_counts: LayerCounts | None = None,
            within_mask: bool = False) -> Callable[[Change], Change]:
        """A decorator that registers a change of a ticket with its claims; see Control for the declarations."""

        def add(change: Change) -> Change:
            summary = ' '.join((change.__doc__ or '').split('\n\n')[0].split())
            self.add(Control(change, tuple(claims), summary, layer_counts, within_mask), name, *aliases)
            return change
        return add


CONTROLS = Controls('control')


def available_controls() -> dict[str, str]:
    """Every control that a ticket can be compared with, and what it does."""

    return {name: CONTROLS.find(name).summary for name in CONTROLS.names() if name not in STANDARDS}


def control_obstacle(name: str, settings: AlgorithmSettings, network: Network) -> str | None:
    """Why a control cannot be used with the tickets of an algorithm in this network; None if it can."""

    if 'same distribution' in CONTROLS.find(name).claims and network.has_fixed_weights:
        return ("all seeds start from the weights of the given module, so no other weights can be drawn; the setting "
                'model.initializer draws weights for each seed')
    if CONTROLS.find(name).within_mask or name == 'dense' or not settings.alters_weights:
        return None
    return ('weights are multiplied by a factor of their layer, or pruned weights are not 0 (--mask-0-action), which '
            'the control would change too')


def apply_control(name: str, task: Task, origin: Ticket, ticket: Ticket, draw: Draw = ()) -> Ticket:
    """The changed ticket of every seed; an LthError if the change is not what the control claims."""

    chosen = CONTROLS.find(name)
    changed = chosen.change(task, origin, ticket, draw)
    for seed, one in zip(task.seeds, compare_tickets(task.network.layout, origin, ticket, changed), strict=True):
        for claim in chosen.claims:
            if not _claim_holds(claim, one, task.network.layout, drawn_here=ticket.iteration == 0):
                raise LthError(f'The control {name} would prove nothing of seed {seed}, since its claim "{claim}" does '
                               f'not hold: {_describe_difference(one)}. Leave it out, or take a sparser ticket.')
    return changed


def compare_tickets(layout: Layout, origin: Ticket, before: Ticket, after: Ticket) -> list[TicketDifference]:
    """What differs between two tickets of the same seeds, one of them a change of the other."""

    return [_compare_rows(layout, *(part[row] for part in (
        origin.weights, before.mask, before.weights, after.mask, after.weights))) for row in range(len(before.mask))]


@CONTROLS.register('original', claims=['mask kept', 'weights kept'], within_mask=True)
def original(_task: Task, _origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """Nothing is changed."""

    return ticket


@CONTROLS.register('reinit', 'reinitialize', claims=['mask kept', 'weights differ', 'same distribution'])
def reinit(task: Task, _origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The same mask, weights drawn anew by the same initializer."""

    drawn = dense_ticket(replace(task, seeds=tuple(rng.derive_seed(seed, 'reinit', *draw) for seed in task.seeds)))
    return mask_ticket(drawn, ticket.mask)


@CONTROLS.register('shuffle-mask', 'random-layer', claims=['layer counts kept', 'mask differs'])
def shuffle_mask(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The mask shuffled within each layer, the weights as they were drawn there."""

    rows = [torch.cat([
        rng.shuffle(mask[slot.start:slot.stop], rng.generator(seed, 'shuffle-mask', *draw, slot.start))
        for slot in task.network.layout.prunable_slots]) for mask, seed in zip(ticket.mask, task.seeds, strict=True)]
    return mask_ticket(origin, torch.stack(rows))


@CONTROLS.register('permute-mask', 'random-global', claims=['count kept', 'mask differs'])
def permute_mask(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The mask permuted over the whole network, the weights as they were drawn there."""

    rows = [rng.shuffle(mask, rng.generator(seed, 'permute-mask', *draw))
            for mask, seed in zip(ticket.mask, task.seeds, strict=True)]
    return mask_ticket(origin, torch.stack(rows))


@CONTROLS.register('shuffle-weights', claims=['mask kept', 'weights differ', 'values kept'], within_mask=True)
def shuffle_weights(task: Task, _origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The same mask, its weights shuffled within each layer."""

    weights = ticket.weights.clone()
    for row, seed in enumerate(task.seeds):
        for slot in task.network.layout.prunable_slots:
            layer, kept = weights[row, slot.start:slot.stop], ticket.mask[row, slot.start:slot.stop]
            layer[kept] = rng.shuffle(layer[kept], rng.generator(seed, 'shuffle-weights', *draw, slot.start))
    return replace(ticket, weights=weights)


@CONTROLS.register('smart-ratio', claims=['count kept', 'mask differs'], layer_counts=layer_densities.smart_ratio)
def smart_ratio(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """A random mask of the same count, spread over layers by smart ratio, the weights as they were drawn there."""

    return _random(task, origin, ticket, draw, layer_densities.smart_ratio)


@CONTROLS.register('erk', claims=['count kept', 'mask differs'], layer_counts=layer_densities.erk)
def erk(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """A random mask of the same count, spread over layers by ERK, the weights as they were drawn there."""

    return _random(task, origin, ticket, draw, layer_densities.erk)


@CONTROLS.register('dense', claims=['all kept'])
def dense(_task: Task, origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """All weights as they were drawn: the dense network, trained in the same way."""

    return mask_ticket(origin, torch.ones_like(ticket.mask))


def _random(task: Task, origin: Ticket, ticket: Ticket, draw: Draw, spread: LayerCounts) -> Ticket:
    slots, rows = task.network.layout.prunable_slots, []
    for mask, seed in zip(ticket.mask, task.seeds, strict=True):
        counts = spread(slots, int(mask.sum()))
        rows.append(masks.random_mask([slot.size for slot in slots], counts, seeds=[rng.derive_seed(seed, 'control', *draw)]))
    return mask_ticket(origin, torch.cat(rows).to(ticket.mask.device))


def _compare_rows(
        layout: Layout, origin: Tensor, mask: Tensor, weights: Tensor, new_mask: Tensor, new_weights: Tensor,
) -> TicketDifference:
    count = len(mask)
    both, layers = mask & new_mask, layout.prunable_slots
    old, new = weights[:count], new_weights[:count]
    parts = [slice(slot.start, slot.stop) for slot in layers]
    values = [torch.equal(old[part][mask[part]].sort().values, new[part][new_mask[part]].sort().values)
              for part in parts]
    return TicketDifference(
        int(mask.sum()), int(new_mask.sum()), all(int(mask[part].sum()) == int(new_mask[part].sum()) for part in parts),
        int((mask & ~new_mask).sum()), int((old != new)[both].sum()), int((old.sign() != new.sign())[both].sum()),
        all(values), min(1., len(parts) * min(_distribution_p_value(new[part][new_mask[part]], origin[part]) for part in parts)),
        tuple(slot.name for slot, part in zip(layers, parts, strict=True) if not new_mask[part].any()))


def _distribution_p_value(sample: Tensor, layer: Tensor) -> float:
    """The p-value that a sample is of another distribution than the weights of a layer."""

    # 1 s to import, which most runs do without.
    from scipy import stats  # pylint: disable=import-outside-toplevel
    if sample.numel() == 0:
        return 1.
    return float(stats.ks_2samp(sample.cpu().numpy(), layer.cpu().numpy(), method='asymp').pvalue)


def _claim_holds(claim: Claim, found: TicketDifference, layout: Layout, *, drawn_here: bool) -> bool:
    """Whether a claim is true. At a later rewind point the dense network's weights are no draw to compare with."""

    same_count = found.kept == found.kept_before
    return {
        'mask kept': found.positions == 0 and same_count, 'mask differs': found.positions > 0,
        'layer counts kept': found.layer_counts_kept, 'count kept': same_count,
        'weights differ': found.weights > 0, 'weights kept': found.weights == 0, 'values kept': found.values_kept,
        'same distribution': not drawn_here or found.distribution > _UNLIKELY,
        'all kept': found.kept == layout.prunable_count}[claim]


def _describe_difference(found: TicketDifference) -> str:
    return (f'{found.positions} positions, {found.weights} weights and {found.signs} signs differ; {found.kept} '
            'weights are kept')
