"""Controls: a ticket or gem with one property changed, and claims about the change that are verified each time.

A control is a function (task, origin, ticket, draw) -> ticket. `origin` is the dense network from which the ticket was
pruned, `draw` the numbers that make its random numbers different from others of the seed (Frankle & Carbin 2019,
section 4; Su et al. 2020; Frankle et al. 2021). To add a control, write a function here with `@CONTROLS.register(name,
claims=[...])` above it. One that is registered with `reads_training` gets a fifth argument, the weights (R, N) to which
the ticket was trained.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from lth import rng
from lth.errors import LthError, quote
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning import layer_densities, masks
from lth.pruning.layer_densities import LayerCounts
from lth.pruning.ticket_differences import TicketDifference, compare_tickets
from lth.pruning.tickets import Ticket, mask_ticket, reinitialized_ticket
from lth.recipes.schema import AlgorithmSettings
from lth.registry import user_code
from lth.registry.registry import BaseRegistry
from lth.registry.tensor_results import check_tensor
from lth.training.task import State, Task

Draw = Sequence[int]
Change = Callable[..., Ticket]
Claim = Literal['mask kept', 'layer counts kept', 'count kept', 'mask differs', 'weights differ', 'values kept',
                'same distribution', 'all kept', 'weights kept', 'signs kept', 'same magnitudes']
# What new weights are drawn for: not if all seeds start from the weights of a given module.
_DRAWN: tuple[Claim, ...] = ('same distribution', 'same magnitudes')
# The probability that a test wrongly finds that two samples have different distributions: one in a million.
_SIGNIFICANCE = 1e-6
# Registered like controls, but they are what tickets and controls are compared with.
STANDARDS = ('original', 'dense')


@dataclass(frozen=True)
class Control:
    """A change of a ticket, with the claims that are verified each time. `summary` is the first sentence of its
    docstring. `layer_counts` computes how many weights each layer keeps, None if that depends on the ticket only. With
    `within_mask` the change leaves the weights outside the mask as they are. With `reads_training` it depends on the
    weights to which the ticket was trained, and its claims compare the result with these. `needs_scales`: whether it
    is for networks whose normalization layers have a scale; `needs_trained_start`: for tickets that start from trained
    weights.
    """

    change: Change
    claims: tuple[Claim, ...]
    summary: str
    layer_counts: LayerCounts | None = None
    within_mask: bool = False
    reads_training: bool = False
    needs_scales: bool = False
    needs_trained_start: bool = False


class Controls(BaseRegistry[Control]):
    """Controls by name."""

    def register(
            self, name: str, *aliases: str, claims: Sequence[Claim], layer_counts: LayerCounts | None = None,
            **declared: bool) -> Callable[[Change], Change]:
        """A decorator that registers a change of a ticket with its claims; see Control for the declarations, such as
        within_mask=True.
        """

        def add(change: Change) -> Change:
            summary = ' '.join((change.__doc__ or '').split('\n\n')[0].split())
            self.add(Control(change, tuple(claims), summary, layer_counts, **declared), name, *aliases)
            return change
        return add


CONTROLS = Controls('control')


def available_controls() -> dict[str, str]:
    """All controls with which a ticket can be compared: name -> summary."""

    return {name: CONTROLS.find(name).summary for name in CONTROLS.names() if name not in STANDARDS}


def control_obstacle(name: str, settings: AlgorithmSettings, network: Network) -> str | None:
    """Why a control cannot be used with the tickets of an algorithm in this network; None if it can."""

    control = CONTROLS.find(name)
    return _network_obstacle(control, network) or _ticket_obstacle(name, control, settings)


def _network_obstacle(control: Control, network: Network) -> str | None:
    """Why a control cannot be used in this network; None if it can."""

    if set(_DRAWN) & set(control.claims) and network.has_fixed_weights:
        return ("all seeds start from the weights of the given module, so no other weights can be drawn; the setting "
                'model.initializer draws weights for each seed')
    if control.needs_scales and not network.scales:
        return f'{network.settings.name} has no normalization layers with a scale'
    return None


def _ticket_obstacle(name: str, control: Control, settings: AlgorithmSettings) -> str | None:
    """Why a control cannot be used with the tickets of an algorithm; None if it can."""

    if control.reads_training and settings.trains != 'each':
        return (f'{settings.name} does not train the weights that its mask keeps, so there are no trained signs; '
                'start-signs keeps the signs of the weights themselves')
    if control.needs_trained_start and not settings.starts_trained:
        return 'the tickets already start from the weights of the rewind point'
    if control.within_mask or name == 'dense' or not settings.alters_weights:
        return None
    return ('weights are multiplied by a factor of their layer, or pruned weights are not 0 (--mask-0-action), which '
            'the control would change too')


def apply_control(
        name: str, task: Task, origin: Ticket, ticket: Ticket, draw: Draw = (), *, trained: State | None = None,
) -> Ticket:
    """The changed tickets of all seeds; `trained` is the state to which the ticket was trained, for controls that read
    it. LthError if a claim of the control is not true of the result.
    """

    control = CONTROLS.find(name)
    if control.reads_training and trained is None:
        raise LthError(f'The control {name} needs the weights to which the ticket was trained. Give its state as '
                       '`trained`.')
    weights = trained.weights if control.reads_training and trained else None
    changed = _change(name, task, origin, ticket, draw, *([] if weights is None else [weights]))
    before = ticket if weights is None else replace(ticket, weights=weights)
    differences = compare_tickets(task.network.layout, origin, before, changed)
    for seed, difference in zip(task.seeds, differences, strict=True):
        for claim in control.claims:
            if not _claim_holds(claim, difference, task.network.layout, at_start=ticket.iteration == 0):
                raise LthError(
                    f'The control {name} cannot be used for seed {seed}, because its claim "{claim}" is not true: '
                    f'{difference.positions} positions, {difference.weights} weights and {difference.signs} signs '
                    f'differ, and {difference.kept} weights are kept. Leave the control out, or use a sparser ticket.')
    return changed


@CONTROLS.register('original', claims=['mask kept', 'weights kept'], within_mask=True)
def original(_task: Task, _origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """The unchanged ticket."""

    return ticket


@CONTROLS.register('reinit', 'reinitialize', claims=['mask kept', 'weights differ', 'same distribution'])
def reinit(task: Task, _origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The same mask; weights re-initialized by the same initializer."""

    return mask_ticket(reinitialized_ticket(task, 'reinit', *draw), ticket.mask)


@CONTROLS.register('initial-weights', claims=['mask kept', 'weights differ'], needs_trained_start=True)
def initial_weights(_task: Task, origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """The same mask; weights of the rewind point, for tickets that start from trained weights."""

    return mask_ticket(origin, ticket.mask)


@CONTROLS.register('signs', 'trained-signs', claims=['mask kept', 'weights differ', 'signs kept', 'same magnitudes'],
                   reads_training=True)
def signs(task: Task, origin: Ticket, ticket: Ticket, draw: Draw, trained: Tensor) -> Ticket:
    """The same mask and the signs of its trained weights; magnitudes re-initialized (Oh et al. 2025)."""

    return with_signs(task.network.layout, reinit(task, origin, ticket, draw), trained)


@CONTROLS.register('start-signs', claims=['mask kept', 'weights differ', 'signs kept', 'same magnitudes'])
def start_signs(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The same mask and the signs of its weights before training; magnitudes re-initialized (Zhou et al. 2019)."""

    return with_signs(task.network.layout, reinit(task, origin, ticket, draw), ticket.weights)


@CONTROLS.register('signs-norm', claims=['mask kept', 'weights differ', 'signs kept', 'same magnitudes'],
                   reads_training=True, needs_scales=True)
def signs_norm(task: Task, origin: Ticket, ticket: Ticket, draw: Draw, trained: Tensor) -> Ticket:
    """As signs, and the normalization layers start with their trained scales and shifts (Oh et al. 2025)."""

    changed = signs(task, origin, ticket, draw, trained)
    weights, names = changed.weights.clone(), [name for pair in task.network.scales for name in pair if name]
    for slot in task.network.layout.slots:
        if slot.name in names:
            weights[:, slot.start:slot.stop] = trained[:, slot.start:slot.stop]
    return replace(changed, weights=weights)


@CONTROLS.register('shuffle-mask', 'random-layer', claims=['layer counts kept', 'mask differs'])
def shuffle_mask(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The mask shuffled within each layer; weights of the rewind point at the new positions."""

    rows = [torch.cat([
        rng.shuffle(mask[slot.start:slot.stop], rng.generator(seed, 'shuffle-mask', *draw, slot.start))
        for slot in task.network.layout.prunable_slots]) for mask, seed in zip(ticket.mask, task.seeds, strict=True)]
    return mask_ticket(origin, torch.stack(rows))


@CONTROLS.register('permute-mask', 'random-global', claims=['count kept', 'mask differs'])
def permute_mask(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The mask shuffled over the whole network; weights of the rewind point at the new positions."""

    return mask_ticket(origin, masks.shuffle_mask(ticket.mask, task.seeds, 'permute-mask', *draw))


@CONTROLS.register('shuffle-weights', claims=['mask kept', 'weights differ', 'values kept'], within_mask=True)
def shuffle_weights(task: Task, _origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """The same mask; weights shuffled within each layer."""

    weights = ticket.weights.clone()
    for row, seed in enumerate(task.seeds):
        for slot in task.network.layout.prunable_slots:
            layer, kept = weights[row, slot.start:slot.stop], ticket.mask[row, slot.start:slot.stop]
            layer[kept] = rng.shuffle(layer[kept], rng.generator(seed, 'shuffle-weights', *draw, slot.start))
    return replace(ticket, weights=weights)


@CONTROLS.register('smart-ratio', claims=['count kept', 'mask differs'], layer_counts=layer_densities.smart_ratio)
def smart_ratio(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """A random mask with as many weights, distributed over the layers by smart ratio; weights of the rewind point."""

    layer_counts = layer_densities.smart_ratio_for(task.network.settings.name)
    return _randomly_masked(task, origin, ticket, draw, layer_counts)


@CONTROLS.register('erk', claims=['count kept', 'mask differs'], layer_counts=layer_densities.erk)
def erk(task: Task, origin: Ticket, ticket: Ticket, draw: Draw) -> Ticket:
    """A random mask with as many weights, distributed over the layers by ERK; weights of the rewind point."""

    return _randomly_masked(task, origin, ticket, draw, layer_densities.erk)


@CONTROLS.register('dense', claims=['all kept'])
def dense(_task: Task, origin: Ticket, ticket: Ticket, _draw: Draw) -> Ticket:
    """The dense network, trained in the same way."""

    return mask_ticket(origin, torch.ones_like(ticket.mask))


def with_signs(layout: Layout, ticket: Ticket, weights: Tensor) -> Ticket:
    """The ticket with the magnitudes of its weights and the signs of other ones (R, N): those of the weights of all
    convolutions and dense layers, also of layers that are kept out of pruning.
    """

    signed, count = ticket.weights.clone(), layout.weight_count
    signed[:, :count] = signed[:, :count].abs() * weights[:, :count].sign()
    return replace(ticket, weights=signed)


def _change(name: str, task: Task, origin: Ticket, ticket: Ticket, *more: Any) -> Ticket:
    """The ticket that a control returns; that of a plug-in is checked."""

    change = CONTROLS.find(name).change
    if not CONTROLS.is_foreign(name):
        return change(task, origin, ticket, *more)
    what = f'control {name}{user_code.definition_place(change)}'
    with user_code.guard(f'The control {name}', change):
        changed = change(task, origin, ticket, *more)
    if not isinstance(changed, Ticket):
        raise LthError(f'The {what} returned {type(changed).__name__} instead of a Ticket.')
    check_tensor(f'mask of the {what}', changed.mask, ticket.mask.shape, torch.bool)
    check_tensor(f'weights of the {what}', changed.weights, ticket.weights.shape, ticket.weights.dtype)
    if not isinstance(changed.buffers, dict) or changed.buffers.keys() != ticket.buffers.keys():
        raise LthError(f'The buffers of the {what} are not a dictionary of those of the given ticket: '
                       f'{quote(list(ticket.buffers))}.')
    for key, buffer in ticket.buffers.items():
        check_tensor(f'buffer {key} of the {what}', changed.buffers[key], buffer.shape, buffer.dtype)
    if not isinstance(changed.iteration, int) or isinstance(changed.iteration, bool) or changed.iteration < 0:
        raise LthError(f'The iteration of the {what} is {quote(changed.iteration)}, not a whole number from 0.')
    return changed


def _randomly_masked(task: Task, origin: Ticket, ticket: Ticket, draw: Draw, layer_counts: LayerCounts) -> Ticket:
    """The dense network under random masks with as many weights as the ticket's, distributed by `layer_counts`."""

    slots, rows = task.network.layout.prunable_slots, []
    sizes = [slot.size for slot in slots]
    for mask, seed in zip(ticket.mask, task.seeds, strict=True):
        counts = layer_counts(slots, int(mask.sum()))
        rows.append(masks.random_mask(sizes, counts, seeds=[rng.derive_seed(seed, 'control', *draw)]))
    return mask_ticket(origin, torch.cat(rows).to(ticket.mask.device))


def _claim_holds(claim: Claim, difference: TicketDifference, layout: Layout, *, at_start: bool) -> bool:
    """Whether a claim is true. The distributions are compared only `at_start`, as at a later rewind point the weights
    of the dense network are trained.
    """

    same_count = difference.kept == difference.kept_before
    return {
        'mask kept': difference.positions == 0 and same_count, 'mask differs': difference.positions > 0,
        'layer counts kept': difference.layer_counts_kept, 'count kept': same_count,
        'weights differ': difference.weights > 0, 'weights kept': difference.weights == 0,
        'values kept': difference.values_kept,
        'same distribution': not at_start or difference.distribution > _SIGNIFICANCE,
        'signs kept': difference.signs == 0,
        'same magnitudes': not at_start or difference.magnitudes > _SIGNIFICANCE,
        'all kept': difference.kept == layout.prunable_count}[claim]
