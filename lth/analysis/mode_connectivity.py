"""How stable training from a ticket is (Frankle et al. 2020, "Linear Mode Connectivity", section 2).

Two copies train from the ticket's weights, each with its own data order and augmentation. Then the test error is
measured on the straight line between them. The barrier is the highest error on the line minus the mean of both ends.
"""
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from lth import rng
from lth.analysis import pair_logs
from lth.analysis.measured_run import (
    count_measured, missing_items, open_measured, refuse_missing_rounds, share_among_processes)
from lth.analysis.pair_files import PAIRS, CopyPair, PairErrors
from lth.errors import LthError
from lth.experiments import derived_runs, metric_logs
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.pruning.joint_training import train_tickets
from lth.pruning.tickets import Ticket
from lth.registry import user_code
from lth.runs.folder import Run
from lth.runs.removed_weights import MissingWeights, Needed, refuse_missing
from lth.training.engines import select
from lth.training.loop import accuracy
from lth.training.state import State
from lth.training.task import Task


def plan_pairs(
        plan: Plan, run: Run, rounds: Sequence[int], iterations: Sequence[int], *, pairs: int, points: int,
        restart: bool = False) -> list[CopyPair]:
    """The pairs of every seed for these rounds and iterations; without iterations the copies train apart from the
    start of each ticket. LthError if the run lacks what is requested, or the ticket of a pair that was not measured
    before, or will be measured again after a `restart`.
    """

    seeds = run.seeds()
    count = min(run.round_count(seed) for seed in seeds)
    _refuse_single(plan, run, seeds=len(seeds), rounds=count)
    refuse_missing_rounds(run, rounds, count)
    requested = []
    for seed, number in itertools.product(seeds, rounds):
        start, end = run.record(seed, number).iteration, plan.for_round(number).steps
        for iteration in iterations or [start]:
            if not start <= iteration < end:
                raise LthError(f'--part-at: iteration {iteration} is outside round {number}, which trains from '
                               f'iteration {start} to {end}.')
            requested += [CopyPair(seed, number, iteration, pair, points) for pair in range(pairs)]
    refuse_missing(run.folder, (Needed(pair.seed, pair.round, 'ticket') for pair in requested
                                if restart or not PAIRS.path(run.folder, pair).exists()))
    return requested


def measure_pairs(
        run: Run, target: RunTarget, requested: Sequence[CopyPair], on_progress: Callable[[int, int], None],
        on_message: Callable[[str], None]) -> list[PairErrors]:
    """The errors of each pair. Pairs that were measured before are read from RUN-stability. On the CPU the others are
    shared among processes. `on_progress` receives how many of how many pairs are measured.
    """

    metric_logs.require_logs(target.logs)
    tickets = {(pair.seed, pair.round): _fingerprint(run, pair) for pair in requested}

    def read(pair: CopyPair) -> PairErrors:
        return PAIRS.read(run.folder, pair, tickets[pair.seed, pair.round])

    missing = missing_items(requested, partial(PAIRS.path, run.folder), read)
    count_pair = count_measured(on_progress, len(missing), len(requested))
    if missing:
        with pair_logs.logged_pairs(run, target.logs, on_message) as log:

            def on_pair(pair: CopyPair) -> None:
                log(pair, read(pair))
                count_pair(pair)

            share_among_processes(_measure, target, missing, on_pair, describe=_pair_names)
    return list(map(read, requested))


def _fingerprint(run: Run, pair: CopyPair) -> str:
    """The fingerprint of the ticket of a pair, read with it unless the option --keep removed it."""

    if MissingWeights.of(run.folder, [Needed(pair.seed, pair.round, 'ticket')]):
        return derived_runs.ticket_fingerprint(run, pair.seed, pair.round)
    return run.load_ticket(pair.seed, pair.round).fingerprints()[0]


def train_copies(
        pairs: Sequence[CopyPair], tasks: Sequence[Task], tickets: Sequence[Ticket],
) -> Iterator[tuple[Ticket, State, State]]:
    """Train the two copies of each pair; yield the ticket from which they part, and the copies. Tasks and tickets are
    of the pairs' seeds, R = 1. The copies of pairs with the same round and iteration may train together.
    """

    iteration = pairs[0].iteration
    tasks = [replace(task, training=task.training.model_copy(update={'measure_every': task.training.length}))
             for task in tasks]
    parted: Iterator[Ticket] = iter(tickets)
    if iteration > tickets[0].iteration:
        parted = (Ticket(ticket.mask, before.weights, before.buffers, before.step)
                  for ticket, before in train_tickets(zip(tasks, tickets), until=iteration))
    copies = train_tickets((_copy_task(task, pair, number), ticket)
                           for pair, task, ticket in zip(pairs, tasks, parted) for number in range(2))
    for (ticket, first), (_, second) in zip(copies, copies):
        yield ticket, first, second


def compare_copies(task: Task, pair: CopyPair, ticket: Ticket, start: State, end: State) -> PairErrors:
    """Compare the two copies of a pair, R = 1, which parted from the ticket."""

    first, second = (state.weights[:, :ticket.mask.shape[1]][ticket.mask].to(torch.float64) for state in (start, end))
    errors = line_errors(task, start, end, points=pair.points)
    signs = float((first.sign() == second.sign()).to(torch.float64).mean())
    return PairErrors(errors, float(torch.dist(first, second)), _angle(first, second), signs)


def line_errors(task: Task, start: State, end: State, *, points: int) -> list[float]:
    """Test errors, shares in [0, 1], at equal steps on the line between two states, R = 1, both ends included. The
    statistics of BatchNorm are estimated again at each of them.
    """

    line = _line(start, end, points)
    return [1 - accuracy(task, task.engine.reestimate_batch_norm(task, state))[0] for state in line]


def _measure(target: RunTarget, pairs: Sequence[CopyPair], on_pair: Callable[[CopyPair], None]) -> None:
    """Measure pairs in this process, and report each when it is saved."""

    plan, run, data, engine = open_measured(target, number=pairs[0].round)
    in_order = sorted(pairs, key=_branching_point)
    for _, parts in itertools.groupby(in_order, _branching_point):
        group = list(parts)
        tickets = [run.load_ticket(pair.seed, pair.round).to(engine.device) for pair in group]
        tasks = [plan.for_round(pair.round).task(data, [pair.seed], engine) for pair in group]
        with user_code.guard_training(f'Training {plan.recipe.model.name}, {_pair_names(group)},',
                                      foreign_model=plan.network.has_foreign_code), \
                select.explain_training_failures(tasks[0]):
            for pair, task, ticket, copies in zip(group, tasks, tickets, train_copies(group, tasks, tickets)):
                errors = compare_copies(task, pair, *copies)
                PAIRS.write(run.folder, pair, errors, ticket.fingerprints()[0])
                on_pair(pair)


def _pair_names(pairs: Sequence[CopyPair]) -> str:
    """The seeds and rounds of pairs in words, for messages."""

    return ', '.join(f'seed {pair.seed} round {pair.round} pair {pair.pair}' for pair in pairs)


def _branching_point(pair: CopyPair) -> tuple[int, int]:
    """The round and iteration of a pair. Copies with the same ones may train together."""

    return pair.round, pair.iteration


def _refuse_single(plan: Plan, run: Run, *, seeds: int, rounds: int) -> None:
    """LthError unless there are at least two seeds and two rounds to compare."""

    if seeds >= 2 and rounds >= 2:
        return
    if len(plan.kept) == 1 and plan.recipe.algorithm.needs_source:
        raise LthError(f'{run.folder} has one round, which trains a ticket that another run found. Give that run, '
                       f'{run.source_folder()}.')
    needed = ['more seeds, such as --seeds 0-2'] * (seeds < 2) + ['at least one pruning (-i)'] * (rounds < 2)
    raise LthError(f'{run.folder} has {_counted(seeds, "seed")} and {_counted(rounds, "round")} that all seeds have, '
                   f'but stability compares at least 2 of each. Resume the search with {" and ".join(needed)}.')


def _counted(count: int, word: str) -> str:
    return f'{count} {word}' + 's' * (count != 1)


def _copy_task(task: Task, pair: CopyPair, number: int) -> Task:
    """The task of one copy: the same training set in another order and with other augmentation."""

    seed = rng.derive_seed(pair.seed, 'copy', pair.pair, number)
    return replace(task, seeds=(seed,), split_seeds=task.seeds)


def _line(start: State, end: State, points: int) -> Iterator[State]:
    """States at equal steps from one to the other, both ends included. Buffers of integers are those of the start."""

    for step in range(points):
        share = step / (points - 1)
        buffers = dict(start.buffers)
        for name, buffer in start.buffers.items():
            if buffer.is_floating_point():
                buffers[name] = torch.lerp(buffer, end.buffers[name], share)
        yield State(torch.lerp(start.weights, end.weights, share), buffers, start.step)


def _angle(first: Tensor, second: Tensor) -> float:
    """The angle between two vectors in degrees, 90 if one of them is 0."""

    cosine = float(first @ second) / (float(first.norm()) * float(second.norm()) or 1.)
    return math.degrees(math.acos(max(-1., min(1., cosine))))
