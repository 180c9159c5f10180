"""Tickets changed by a control: whether it can be used with them, and the change, whose claims are verified."""
from dataclasses import replace
from typing import Any

import torch

from lth.errors import LthError, quote
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning.control import Claim, Control
from lth.pruning.controls import CONTROLS, Draw
from lth.pruning.ticket_differences import TicketDifference, compare_tickets
from lth.pruning.tickets import Ticket
from lth.recipes.schema import AlgorithmSettings
from lth.registry import user_code
from lth.registry.tensor_results import check_tensor
from lth.training.state import State
from lth.training.task import Task

# What new weights are drawn for: not if all seeds start from the weights of a given module.
_DRAWN: tuple[Claim, ...] = ('same distribution', 'same magnitudes')
# The probability that a test wrongly finds that two samples have different distributions: one in a million.
_SIGNIFICANCE = 1e-6


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

    if control.reads_training and not settings.trains_weights:
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
