"""What a control is: a change of a ticket, claims about the change and what it needs; the class of their registry."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lth.pruning.layer_densities import LayerCounts
from lth.pruning.tickets import Ticket
from lth.registry.registry import BaseRegistry

Change = Callable[..., Ticket]
Claim = Literal['mask kept', 'layer counts kept', 'count kept', 'mask differs', 'weights differ', 'values kept',
                'same distribution', 'all kept', 'weights kept', 'signs kept', 'same magnitudes']


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
