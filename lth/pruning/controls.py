"""Controls: functions that change one property of a ticket or gem, with claims about the change.

A control is a function (task, origin, ticket, draw) -> ticket. `origin` is the dense network from which the ticket was
pruned, `draw` the numbers that make its random numbers different from others of the seed (Frankle & Carbin 2019,
section 4; Su et al. 2020; Frankle et al. 2021). To add a control, write a function here with `@CONTROLS.register(name,
claims=[...])` above it. One that is registered with `reads_training` gets a fifth argument, the weights (R, N) to which
the ticket was trained.
"""
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lth import rng
from lth.models.flat_parameters import Layout
from lth.pruning import layer_densities, masks
from lth.pruning.control import Controls
from lth.pruning.layer_densities import LayerCounts
from lth.pruning.tickets import Ticket, mask_ticket, reinitialized_ticket
from lth.training.task import Task

Draw = Sequence[int]
# Registered like controls, but they are what tickets and controls are compared with.
STANDARDS = ('original', 'dense')
CONTROLS = Controls('control')


def available_controls() -> dict[str, str]:
    """All controls with which a ticket can be compared: name -> summary."""

    return {name: CONTROLS.find(name).summary for name in CONTROLS.names() if name not in STANDARDS}


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


def _randomly_masked(task: Task, origin: Ticket, ticket: Ticket, draw: Draw, layer_counts: LayerCounts) -> Ticket:
    """The dense network under random masks with as many weights as the ticket's, distributed by `layer_counts`."""

    slots, rows = task.network.layout.prunable_slots, []
    sizes = [slot.size for slot in slots]
    for mask, seed in zip(ticket.mask, task.seeds, strict=True):
        counts = layer_counts(slots, int(mask.sum()))
        rows.append(masks.random_mask(sizes, counts, seeds=[rng.derive_seed(seed, 'control', *draw)]))
    return mask_ticket(origin, torch.cat(rows).to(ticket.mask.device))
