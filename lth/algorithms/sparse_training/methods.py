"""Methods of sparse training: each has three functions, for how many weights are active, what is dropped, what grows.

To add a method, write a row below, or `METHODS.add(Method(...), name)` in a plug-in. A size is a function
(event, initial count, final count) -> number of active weights after the event, in this file; what is dropped and grown
in a layer are functions in selection.py.
"""
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from lth.algorithms.sparse_training import selection
from lth.algorithms.sparse_training.selection import Drop, Grow
from lth.recipes.durations import Duration
from lth.registry.registry import Registry


class Event(NamedTuple):
    """Event `number` of `total`, counted from 1."""

    number: int
    total: int


Size = Callable[[Event, int, int], int]
# A length of training, or a share of the training.
Length = Duration | Fraction


@dataclass(frozen=True)
class Method:
    """How a mask moves.

    size: how many weights are active after an event. If these are fewer, those of smallest magnitude in the whole
    network are deactivated; each layer keeps at least one.
    drop, grow: how a share of the active weights of each layer is replaced by as many others; None for no replacement.
    If the size is larger than before, all weights become active.
    starts: `sparse`, at the final density under a random mask, or `dense`, at `initial_density`.
    every, first, until: the defaults of when the mask moves; `first` is by default one interval after the start.
    fraction: the default of the share that is dropped, and whether it falls to 0 as half a cosine.
    source: the publication.
    """

    summary: str
    source: str
    starts: Literal['sparse', 'dense']
    size: Size
    drop: Drop | None = None
    grow: Grow | None = None
    every: Length = Duration(100, 'iterations')
    first: Length | None = None
    until: Fraction = Fraction(3, 4)
    fraction: float = 0.
    anneals: bool = True

    @property
    def moves(self) -> bool:
        """Whether the mask moves at all."""

        return self.drop is not None or self.starts == 'dense'

    @property
    def takes_gradient(self) -> bool:
        """Whether weights grow by their gradient, so that a batch is used for it instead of training."""

        return self.grow is selection.largest_gradient

    @property
    def options(self) -> frozenset[str]:
        """The settings that have an effect on it, besides those of all methods."""

        names = {'update_every', 'update_from', 'update_until'} if self.moves else set()
        names |= {'drop_fraction', 'drop_schedule'} if self.drop else set()
        return frozenset(names | ({'initial_density'} if self.starts == 'dense' else set()))


METHODS: Registry[Method] = Registry('method of sparse training')


def constant(_event: Event, _initial: int, final: int) -> int:
    """The final number throughout."""

    return final


def cubic(event: Event, initial: int, final: int) -> int:
    """s_f + (s_i - s_f)(1 - k/n)³ (Zhu & Gupta 2017), in exact arithmetic."""

    return final + (initial - final) * (event.total - event.number) ** 3 // event.total ** 3


def linear(event: Event, initial: int, final: int) -> int:
    """A straight line from the initial to the final number."""

    return final + (initial - final) * (event.total - event.number) // event.total


def alternating(event: Event, initial: int, final: int) -> int:
    """The final number after events 1, 3, 5 … and after the last one, the initial number after the others."""

    return final if event.number % 2 or event.number == event.total else initial


METHODS.register('static')(Method(
    'A random mask that does not move.', 'the baseline of sparse training', 'sparse', constant))
METHODS.register('set')(Method(
    'Drop the smallest weights of each layer, grow random ones (Mocanu et al. 2018).', 'Mocanu et al. 2018 (SET)',
    'sparse', constant, selection.smallest, selection.random, fraction=0.3, anneals=False))
METHODS.register('rigl')(Method(
    'Drop the smallest weights of each layer, grow those of largest gradient (Evci et al. 2020).',
    'Evci et al. 2020 (RigL)', 'sparse', constant, selection.smallest, selection.largest_gradient, fraction=0.3))
METHODS.register('gmp')(Method(
    'Gradual magnitude pruning by a cubic schedule (Zhu & Gupta 2017).', 'Zhu & Gupta 2017', 'dense', cubic))
METHODS.register('one-cycle')(Method(
    'Magnitude pruning in equal steps over the whole training.', 'one-cycle pruning, linear schedule', 'dense', linear,
    every=Duration(1, 'epochs'), until=Fraction(1)))
# Of 200 epochs: compress at 10, 50, 90, 130 and 170, decompress at 30, 70, 110 and 150.
METHODS.register('ac-dc')(Method(
    'Alternate between all weights and those of largest magnitude (Peste et al. 2021).', 'Peste et al. 2021 (AC/DC)',
    'dense', alternating, every=Fraction(1, 10), first=Fraction(1, 20), until=Fraction(17, 20)))
METHODS.register('granet')(Method(
    'Gradual magnitude pruning that also drops and grows by gradient (Liu et al. 2021).', 'Liu et al. 2021 (GraNet)',
    'dense', cubic, selection.smallest, selection.largest_gradient, fraction=0.5))
