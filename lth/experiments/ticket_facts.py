"""What is known of tickets of another run before a run that starts from them is trained."""
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lth.experiments.plan import Plan
from lth.runs.round_record import RoundRecord
from lth.runs.stored_run import StoredRun


class TicketFacts(NamedTuple):
    """The iteration of the schedule at which the ticket of round 0 starts, and for each round the weights that each
    prunable layer keeps, by its name, as means over seeds; None if only training shows these.
    """

    start: int = 0
    kept: tuple[Mapping[str, float], ...] | None = None


def ticket_facts(plan: Plan, folder: Path, seeds: Sequence[int]) -> TicketFacts:
    """The facts about the tickets from which this plan in `folder` would train these seeds."""

    settings = plan.recipe.algorithm
    if not settings.needs_source:
        return TicketFacts()
    source = StoredRun.open(plan.run(folder).source_folder())
    start = source.record(seeds[0], settings.source_round(0)).iteration
    if not settings.keeps_masks:
        return TicketFacts(start)
    numbers = map(settings.source_round, range(len(plan.kept)))
    rounds = [[source.record(seed, number) for seed in seeds] for number in numbers]
    sizes = {slot.name: slot.size for slot in plan.network.layout.prunable_slots}
    recorded = all(record.layers for records in rounds for record in records)  # not by old versions
    return TicketFacts(start, tuple(_mean_kept(records, sizes) for records in rounds) if recorded else None)


def _mean_kept(records: Sequence[RoundRecord], sizes: Mapping[str, int]) -> Mapping[str, float]:
    """The mean number of weights that each layer of these sizes keeps, by its name. A layer of another size than in the
    rounds, as the output layer for other classes, keeps all.
    """

    kept = [{**sizes, **{layer.name: layer.kept for layer in record.layers if sizes.get(layer.name) == layer.weights}}
            for record in records]
    return {name: statistics.fmean(one[name] for one in kept) for name in sizes}
