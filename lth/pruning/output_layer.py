"""A ticket in a network for other classes: its output layer is drawn anew, and dense (Morcos et al. 2019).

A mask says which connections to which classes matter, and those classes are gone: no part of it goes over.
"""
from collections.abc import Sequence

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.network import Network
from lth.pruning.tickets import Ticket


def reinitialized_parameters(theirs: Network, ours: Network) -> list[str]:
    """The parameters of our output layer if they must be drawn anew, since classes differ; an LthError if any other
    tensor does not fit.
    """

    there, here = ({slot.name: slot.shape for slot in network.layout.slots} for network in (theirs, ours))
    output = next(slot.name for slot in ours.layout.slots if slot.kind == 'output').removesuffix('weight')
    differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    for name in differing:
        if not name.startswith(output) or there.get(name, ())[1:] != here.get(name, ())[1:]:
            raise LthError(
                f'A ticket found on pictures of {_sides(theirs.shape)} does not fit pictures of {_sides(ours.shape)}: '
                f'{name} is {_sides(there.get(name))} there and {_sides(here.get(name))} here. Show the new pictures '
                f'in the old shape: --set data.size={theirs.shape[1]} --set data.channels={theirs.shape[0]}.')
    return [name for name in here if name.startswith(output)] if differing else []


def transplant(ticket: Ticket, theirs: Network, ours: Network, drawn: Ticket) -> Ticket:
    """The ticket in our network, what does not fit being as drawn there; itself if all does."""

    anew = reinitialized_parameters(theirs, ours)
    if not anew:
        return ticket

    def joined(found: Tensor, fresh: Tensor) -> Tensor:
        rows = [ours.layout.pack({name: new[name] if name in anew else old[name] for name in new})
                for old, new in zip(map(theirs.layout.unpack, found), map(ours.layout.unpack, fresh), strict=True)]
        return torch.stack(rows)
    return Ticket(joined(ticket.mask, drawn.mask), joined(ticket.weights, drawn.weights), ticket.buffers,
                  ticket.iteration)


def transplanted_count(mask: Tensor, theirs: Network, ours: Network) -> int:
    """How many prunable weights a mask, (P,), keeps in our network."""

    anew, parts = reinitialized_parameters(theirs, ours), theirs.layout.unpack(mask)
    return sum(slot.size if slot.name in anew else int(parts[slot.name].sum()) for slot in ours.layout.prunable_slots)


def _sides(shape: Sequence[int] | None) -> str:
    return '×'.join(map(str, shape)) if shape else 'absent'
