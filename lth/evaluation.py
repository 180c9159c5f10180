"""A run measured afresh from its files: what its numbers are worth is what its files give."""
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lth.datasets import Dataset
from lth.plan import Plan
from lth.runs import Run
from lth.task import Engine
from lth.training import accuracy


class LayerDensity(NamedTuple):
    """One layer: how many of its weights are left; all of them where it was kept out of pruning."""

    name: str
    kept: int
    weights: int


class Evaluation(NamedTuple):
    """One round of one seed: its test accuracy measured now and as recorded, and its layers."""

    seed: int
    round: int
    kept: int
    density: float
    test_accuracy: float
    recorded: float
    layers: list[LayerDensity]


def evaluations(
        plan: Plan, run: Run, data: Dataset, engine: Engine, seeds: Sequence[int], number: int | None,
) -> Iterator[Evaluation]:
    """Every round asked for, measured from its files."""

    for seed in seeds:
        task = plan.task(data, [seed], engine)
        for chosen in range(run.rounds(seed)) if number is None else [number]:
            found = run.load(seed, chosen)
            state = found.trained.to(engine.device)
            kept = int(found.ticket.mask.sum())
            masks = plan.network.layout.unpack(found.ticket.mask[0])
            layers = [LayerDensity(slot.name, int(masks[slot.name].sum()) if slot.prunable else slot.size, slot.size)
                      for slot in plan.network.layout.slots if slot.kind != 'other']
            yield Evaluation(seed, chosen, kept, plan.network.layout.density(kept), accuracy(task, state)[0],
                             run.header(seed, chosen)['test_accuracy'], layers)
