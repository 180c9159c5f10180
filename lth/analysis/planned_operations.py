"""Multiply-adds of a plan before anything is trained, as they are counted in operation_counts.py."""
from collections.abc import Sequence
from typing import NamedTuple

from lth.analysis.operation_counts import LayerOperations
from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.experiments.ticket_facts import TicketFacts


class PlannedOperations(NamedTuple):
    """Multiply-adds for one image of each layer with all weights (`layers`), of the network with all weights (`dense`)
    and with the weights that each round keeps (`rounds`). `exact` is False if only the search shows which layers these
    weights are in: then each layer is assumed to keep the same share. `training` are the multiply-adds of the training
    of one seed, masks included, and `finetuning` those of the training that its recipe has for a gem; None if they are
    unknown or there is none.
    """

    layers: tuple[LayerOperations, ...]
    dense: int
    rounds: tuple[int, ...]
    exact: bool
    training: int | None
    finetuning: int | None


def planned_operations(plan: Plan, facts: TicketFacts) -> PlannedOperations | None:
    """The multiply-adds of a plan; None if they cannot be counted for its network. `facts` are those about tickets of
    another run, if the plan trains them; multiply-adds are then means over its seeds.
    """

    sizes = {slot.name: slot.size for slot in plan.network.layout.slots}
    counted = {name: uses for name, uses in plan.network.weight_uses.items() if uses is not None}
    if len(counted) < len(plan.network.weight_uses):
        return None
    layers = tuple(LayerOperations(name, uses * sizes[name], uses * sizes[name]) for name, uses in counted.items())
    dense = sum(uses * sizes[name] for name, uses in counted.items())
    rounds, exact = _rounds(plan, counted, dense, facts)
    return PlannedOperations(layers, dense, rounds, exact, _training(plan, dense, rounds, facts.start),
                             _finetuning(plan, rounds[-1]))


def _rounds(plan: Plan, uses: dict[str, int], dense: int, facts: TicketFacts) -> tuple[tuple[int, ...], bool]:
    """The multiply-adds with the kept weights of each round, and whether they are exact."""

    slots = plan.network.layout.prunable_slots
    prunable = sum(uses[slot.name] * slot.size for slot in slots)
    if per_layer := _kept_per_layer(plan, facts):
        kept = [sum(uses[slot.name] * count for slot, count in zip(slots, counts, strict=True)) for counts in per_layer]
        return tuple(dense - prunable + round(count) for count in kept), True
    total = plan.network.layout.prunable_count
    shares = [round(prunable * count / total) for count in plan.kept]
    return tuple(dense - prunable + share for share in shares), all(count == total for count in plan.kept)


def _kept_per_layer(plan: Plan, facts: TicketFacts) -> Sequence[Sequence[float]] | None:
    """The weights that each round keeps of each prunable layer; None if only training shows them."""

    if facts.kept:
        return [[kept[slot.name] for slot in plan.network.layout.prunable_slots] for kept in facts.kept]
    return plan.recipe.algorithm.kept_per_layer(plan.network.layout, plan.recipe.training, plan.steps_per_epoch)


def _training(plan: Plan, dense: int, rounds: tuple[int, ...], start: int) -> int | None:
    """The multiply-adds of the training of one seed; None if the number of its steps is not known before."""

    settings, training = plan.recipe.algorithm, plan.recipe.training
    operations = settings.mask_operations(dense, training.batch_size, plan.network.classes)
    for number, surviving in enumerate(rounds):
        steps = settings.trained_steps(number, training, plan.steps_per_epoch, start=start)
        if steps is None:
            return None
        operations += settings.step_operations(dense, surviving) * training.batch_size * steps
    return operations


def _finetuning(plan: Plan, surviving: int) -> int | None:
    """The multiply-adds of the training of the gem, None if the plan finds none, or if its recipe cannot train it, as
    with more images in a batch than there are: that is not a mistake in a search without finetuning.
    """

    if plan.recipe.algorithm.finds != 'gems':
        return None
    finetuning = plan.for_round(len(plan.kept) - 1)
    try:
        return 3 * surviving * finetuning.recipe.training.batch_size * finetuning.steps
    except LthError:
        return None
