"""The barrier between successive rounds (Paul et al. 2022, "Unmasking the Lottery Ticket Hypothesis").

The test error is measured on the straight line between the trained weights of a round and those of the round before.
On a second line, the weights of the round before are first pruned to the mask of the round. Nothing is trained.
"""
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lth.analysis.loss_landscape.barrier_files import BARRIERS, RoundErrors, RoundPair
from lth.analysis.measured_run import (
    count_measured, missing_items, open_measured, refuse_missing_rounds, share_among_processes)
from lth.analysis.mode_connectivity import line_errors
from lth.errors import LthError, number_ranges
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.pruning.tickets import Round
from lth.registry import user_code
from lth.runs.folder import Run
from lth.runs.removed_weights import MissingWeights, start_and_end
from lth.training.engines import select
from lth.training.state import State
from lth.training.task import Task


class PlannedPairs(NamedTuple):
    """The pairs to measure, in the order of seeds and rounds, and sentences about those that cannot be measured."""

    pairs: list[RoundPair]
    notes: list[str]


def plan_round_pairs(plan: Plan, run: Run, rounds: Sequence[int] | None = None, *, points: int = 30) -> PlannedPairs:
    """Each of these rounds, by default all after round 0, with the round before it, for every seed. LthError if the
    run lacks one of them, if the option --keep removed what has to be measured, or if the rounds of the run are not
    those of a search that trains weights.
    """

    seeds = run.seeds()
    count = min(run.round_count(seed) for seed in seeds)
    _refuse_other_runs(plan, run, count)
    _refuse_missing(run, rounds, count)
    numbers = range(1, count) if rounds is None else sorted(set(rounds))
    pairs = [RoundPair(seed, number, points) for seed, number in itertools.product(seeds, numbers)]
    missing = _missing_weights(run, pairs)
    if not missing:
        return PlannedPairs(pairs, [])
    measurable = [pair for pair in pairs if not _is_affected(run, pair, missing)]
    consequence = _consequence({pair.round for pair in set(pairs) - set(measurable)})
    if rounds is not None or not measurable:
        raise missing.error(consequence, _alternative(run, seeds, range(1, count), points))
    return PlannedPairs(measurable, [f'{missing.sentence()}{consequence}.'])


def measure_round_pairs(
        run: Run, target: RunTarget, requested: Sequence[RoundPair], on_progress: Callable[[int, int], None],
) -> list[RoundErrors]:
    """The errors of each pair. Pairs that were measured before are read from RUN-stability. On the CPU the others are
    shared among processes. `on_progress` receives how many of how many pairs are measured.
    """

    path, read = partial(BARRIERS.path, run.folder), partial(BARRIERS.read, run.folder)
    missing = missing_items(requested, path, read)
    on_pair = count_measured(on_progress, len(missing), len(requested))
    if missing:
        share_among_processes(_measure, target, missing, on_pair, describe=_pair_names)
    return list(map(read, requested))


def compare_rounds(task: Task, earlier: Round, later: Round, *, points: int) -> RoundErrors:
    """The errors on both lines between the trained weights of two rounds of one seed, R = 1. LthError if the later
    round keeps a weight that the earlier one prunes.
    """

    if bool((later.ticket.mask & ~earlier.ticket.mask).any()):
        raise LthError(f'Round {later.number} keeps weights that round {earlier.number} prunes, so it does not prune '
                       'that round, and the barrier between both says nothing about its ticket. Choose other rounds '
                       'with --rounds.')
    errors = line_errors(task, earlier.trained, later.trained, points=points)
    projected = line_errors(task, project(earlier.trained, later), later.trained, points=points)
    return RoundErrors(errors, projected)


def project(trained: State, later: Round) -> State:
    """The state with its weights pruned to the mask of a later round: a pruned weight takes the value, usually 0, that
    it has in that round.
    """

    mask: Tensor = later.ticket.mask
    prunable, weights = mask.shape[1], trained.weights.clone()
    weights[:, :prunable] = torch.where(mask, weights[:, :prunable], later.trained.weights[:, :prunable])
    return replace(trained, weights=weights)


def _measure(target: RunTarget, pairs: Sequence[RoundPair], on_pair: Callable[[RoundPair], None]) -> None:
    """Measure pairs in this process, and report each when it is saved."""

    plan, run, data, engine = open_measured(target, number=pairs[0].round)
    for pair in pairs:
        earlier, later = (run.load_round(pair.seed, number).to(engine.device) for number in pair.rounds)
        task = plan.for_round(pair.round).task(data, [pair.seed], engine)
        with user_code.guard_training(f'Measuring {plan.recipe.model.name}, {_pair_names([pair])},',
                                      foreign_model=plan.network.has_foreign_code), \
                select.explain_failures(engine.device, f'measuring {run.folder}'):
            errors = compare_rounds(task, earlier, later, points=pair.points)
        BARRIERS.write(run.folder, pair, errors)
        on_pair(pair)


def _pair_names(pairs: Sequence[RoundPair]) -> str:
    """The seeds and rounds of pairs in words, for messages."""

    return ', '.join(f'seed {pair.seed} rounds {pair.round - 1} and {pair.round}' for pair in pairs)


def _refuse_other_runs(plan: Plan, run: Run, count: int) -> None:
    """LthError unless the run is a search that trains the weights of each round, and has two of them."""

    settings = plan.recipe.algorithm
    if settings.needs_source:
        raise LthError(f'{run.folder} trains tickets of another run, so its rounds do not prune each other, and there '
                       f'is no barrier to measure between them. Give the run of the search, {run.source_folder()}.')
    if settings.finds != 'tickets' or settings.trains != 'each':
        raise LthError(f'{run.folder} has no barriers between rounds: {settings.name} does not train each round '
                       'from a ticket on. Give a run of lth find-ticket.')
    if count < 2:
        raise LthError(f'{run.folder} has one round that all seeds have, but a barrier lies between two successive '
                       'rounds. Resume the search with at least one pruning (-i).')


def _refuse_missing(run: Run, rounds: Sequence[int] | None, count: int) -> None:
    """LthError if one of the rounds has no round before it, or is not there for all seeds."""

    if rounds and 0 in rounds:
        raise LthError('--rounds: round 0 has no round before it. Each round is compared with the one before: give '
                       f'rounds from 1 to {count - 1}.')
    refuse_missing_rounds(run, rounds or (), count)


def _missing_weights(run: Run, pairs: Sequence[RoundPair]) -> MissingWeights:
    """The weights that are missing of the pairs that were not measured before."""

    unmeasured = [pair for pair in pairs if not BARRIERS.path(run.folder, pair).exists()]
    return MissingWeights.of(run.folder, start_and_end(key for pair in unmeasured for key in pair.measured_rounds))


def _is_affected(run: Run, pair: RoundPair, missing: MissingWeights) -> bool:
    """Whether a pair cannot be measured, and was not measured before."""

    lacks_weights = any(missing.includes(pair.seed, number) for number in pair.rounds)
    return lacks_weights and not BARRIERS.path(run.folder, pair).exists()


def _alternative(run: Run, seeds: Sequence[int], numbers: Sequence[int], points: int) -> str:
    """Which rounds can be measured for all seeds, as a sentence; '' if there are none."""

    measurable = [number for number in numbers
                  if not _missing_weights(run, [RoundPair(seed, number, points) for seed in seeds])]
    if not measurable:
        return ''
    return f'Choose among the rounds that can be measured: --rounds {",".join(map(str, measurable))}.'


def _consequence(numbers: Collection[int]) -> str:
    rounds = sorted(numbers)
    return f', so the barrier before round{"s" * (len(rounds) > 1)} {number_ranges(rounds)} cannot be measured'
