"""Tickets in a network for other classes: the output layer is re-initialized and dense (Morcos et al. 2019).

A mask of the output layer says which connections matter for which classes. None of it is valid for other classes.
"""
from collections.abc import Sequence

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.pruning.tickets import Ticket


def reinitialized_parameters(source: Network, target: Network) -> list[str]:
    """Names of the parameters of the target's output layer if they must be re-initialized because the classes differ,
    otherwise []. An LthError if any other parameter has another shape in the source.
    """

    old, new = _shapes(source), _shapes(target)
    output = output_prefix(target)
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    for name in differing:
        before, after = old.get(name, ()), new.get(name, ())
        if not name.startswith(output) or before[1:] != after[1:]:
            raise LthError(
                f'A ticket for images of {_sides(source.shape)} does not fit images of {_sides(target.shape)}: {name} '
                f'is {_sides(before)} in the source run and {_sides(after)} here. Resize the new images to the size of '
                f'the source: --set data.size={source.shape[1]} --set data.channels={source.shape[0]}.')
    return [name for name in new if name.startswith(output)] if differing else []


def transplant(ticket: Ticket, source: Network, target: Network, initial: Ticket) -> Ticket:
    """The ticket of the source network in the target network. Parameters that must be re-initialized are taken from
    `initial`; if there are none, the ticket itself is returned.
    """

    reinitialized = reinitialized_parameters(source, target)
    if not reinitialized:
        return ticket

    def joined(old_rows: Tensor, new_rows: Tensor) -> Tensor:
        rows = []
        for old, new in zip(map(source.layout.unpack, old_rows), map(target.layout.unpack, new_rows), strict=True):
            rows.append(target.layout.pack({name: (new if name in reinitialized else old)[name] for name in new}))
        return torch.stack(rows)
    mask, weights = joined(ticket.mask, initial.mask), joined(ticket.weights, initial.weights)
    return Ticket(mask, weights, ticket.buffers, ticket.iteration)


def transplanted_count(mask: Tensor, source: Network, target: Network) -> int:
    """How many prunable weights of the target network are kept by a mask (P,) of the source network."""

    reinitialized, parts = reinitialized_parameters(source, target), source.layout.unpack(mask)
    return sum(slot.size if slot.name in reinitialized else int(parts[slot.name].sum())
               for slot in target.layout.prunable_slots)


def output_prefix(network: Network) -> str:
    """Start of the names of the output layer's parameters, such as 'output.'."""

    return network.layout.output_name.removesuffix('weight')


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    return {slot.name: tuple(slot.shape) for slot in network.layout.slots}


def _sides(shape: Sequence[int]) -> str:
    return '×'.join(map(str, shape)) if shape else 'absent'
