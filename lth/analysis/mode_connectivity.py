"""How stable training is from a ticket (Frankle et al. 2020, "Linear Mode Connectivity", section 2).

Two copies are trained from the ticket's weights, each with an order and augmentation of its own, and the error is
measured on the straight line between them. The barrier is the highest error on it less the mean of both ends.
"""
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.errors import LthError
from lth.experiments import folders, open_run
from lth.experiments.plan import Plan
from lth.experiments.runner import RunTarget
from lth.pruning.tickets import Ticket, train_ticket
from lth.runs.folder import Run
from lth.system import files, processes
from lth.training.engines import select
from lth.training.loop import accuracy, reestimate_batch_norm
from lth.training.task import State, Task


@dataclass(frozen=True)
class CopyPair:
    """A pair of copies: of which seed and round, parting at which iteration; pairs of one ticket are numbered."""

    seed: int
    round: int
    iteration: int
    pair: int
    points: int


@dataclass(frozen=True)
class PairErrors:
    """Test errors at even steps from one copy to the other; their kept weights' distance, the angle between them in
    degrees and the share of equal signs.
    """

    errors: list[float]
    distance: float
    angle: float
    signs: float

    @property
    def barrier(self) -> float:
        """The highest error on the line less the mean of both ends."""

        return max(self.errors) - (self.errors[0] + self.errors[-1]) / 2


class MaskOverlap(NamedTuple):
    """The shared part of all weights that either of two masks keeps, and what it would be by chance."""

    seeds: tuple[int, int]
    rounds: tuple[int, int]
    shared: float
    chance: float


def plan_pairs(
        plan: Plan, run: Run, rounds: Sequence[int], iterations: Sequence[int], *, pairs: int, points: int,
) -> list[CopyPair]:
    """All pairs asked for, of every seed; no iteration means where each ticket starts. An LthError says what lacks."""

    seeds = run.seeds()
    whole = min(run.round_count(seed) for seed in seeds)
    _refuse_lone(plan, run, len(seeds), whole)
    if missing := [number for number in rounds if number >= whole]:
        raise LthError(f'--rounds: {run.folder} has no round {missing[0]} of all seeds {seeds}: its rounds are 0 … '
                       f'{whole - 1}.')
    asked = []
    for seed, number in itertools.product(seeds, rounds):
        start, end = run.header(seed, number)['iteration'], plan.for_round(number).steps
        for iteration in iterations or [start]:
            if not start <= iteration < end:
                raise LthError(f'--part-at: iteration {iteration} is not on the way of round {number}, whose ticket '
                               f'starts at iteration {start} and trains up to {end}.')
            asked += [CopyPair(seed, number, iteration, pair, points) for pair in range(pairs)]
    return asked


def measure_pairs(run: Run, place: RunTarget, asked: Sequence[CopyPair], tell: Callable[[int, int], None]) -> list[PairErrors]:
    """An answer to each question; those that lie in RUN-stability already are not asked again. On the CPU the others
    are shared out among processes, one thread each unless `place` says otherwise.
    """

    tickets = {(one.seed, one.round): run.load_round(one.seed, one.round).ticket.fingerprints()[0] for one in asked}
    kept = [one for one in asked if _place(run, one).exists()]
    for one in kept:
        _read(run, one, tickets[one.seed, one.round])  # refuses what is of another ticket before anything is trained
    left, done = [one for one in asked if one not in kept], len(kept)

    def hear(_question: CopyPair) -> None:
        nonlocal done
        done += 1
        tell(done, len(asked))
    tell(done, len(asked))
    if left:
        on_cpu = select.resolve_device(place.device).type == 'cpu'
        spread = on_cpu and not place.in_process
        shares = min(processes.available_slots(place.threads or 1) if spread else 1, len(left))
        if shares > 1:
            worker = replace(place, threads=place.threads or 1)
            jobs = [(worker, left[first::shares]) for first in range(shares)]
            processes.run_in_parallel(_measure, jobs, shares, hear)
        else:
            _measure(place, left, hear)
    return [_read(run, one, tickets[one.seed, one.round]) for one in asked]


def _measure(place: RunTarget, asked: Sequence[CopyPair], send: Callable[[CopyPair], None]) -> None:
    """Answers questions one after the other, each on disk before it is told."""

    plan, run = open_run.open_run(open_run.RunPath(place.folder, None, None))
    training = plan.for_round(asked[0].round).recipe.training
    obstacle = select.sparse_obstacle(plan.network, plan.recipe.data, training, streamed=plan.streamed)
    engine = select.select_engine(place.device, capturable=plan.capturable, obstacle=obstacle)
    if place.threads is not None:
        select.configure_process(threads=place.threads, device=engine.device)
    data = plan.read(place.datasets).to(engine.device)
    plan = plan.for_data(data)
    for question in asked:
        ticket = run.load_round(question.seed, question.round).ticket.to(engine.device)
        answer = measure_pair(plan.for_round(question.round).task(data, [question.seed], engine), ticket, question)
        content = json.dumps({'ticket': ticket.fingerprints()[0], **asdict(question), **asdict(answer)}, indent=2)
        where = _place(run, question)
        where.parent.mkdir(parents=True, exist_ok=True)
        files.write(where, content.encode())
        send(question)


def measure_pair(task: Task, ticket: Ticket, question: CopyPair) -> PairErrors:
    """The two copies trained and compared; `task` and `ticket` are of the one seed."""

    quiet = replace(task, training=task.training.model_copy(update={'measure_every': task.training.length}))
    if question.iteration > ticket.iteration:
        before = train_ticket(quiet, ticket, until=question.iteration)
        ticket = Ticket(ticket.mask, before.weights, before.buffers, before.step)
    start, end = (train_ticket(_copied(quiet, question, which), ticket) for which in range(2))
    one, other = (state.weights[:, :ticket.mask.shape[1]][ticket.mask].to(torch.float64) for state in (start, end))
    line = _line(start, end, question.points)
    errors = [1 - accuracy(task, reestimate_batch_norm(task, between))[0] for between in line]
    signs = float((one.sign() == other.sign()).to(torch.float64).mean())
    return PairErrors(errors, float(torch.dist(one, other)), _angle(one, other), signs)


def mask_overlaps(run: Run, rounds: Sequence[int]) -> Iterator[MaskOverlap]:
    """Masks of two seeds at the same round, and of one seed at two rounds."""

    masks = {(seed, number): run.load_round(seed, number).ticket.mask[0] for seed in run.seeds() for number in rounds}
    for (one, mask), (other, theirs) in itertools.combinations(masks.items(), 2):
        if one[0] == other[0] or one[1] == other[1]:
            yield MaskOverlap((one[0], other[0]), (one[1], other[1]), *_overlap(mask, theirs))


def _refuse_lone(plan: Plan, run: Run, seeds: int, rounds: int) -> None:
    """An LthError if there is nothing to compare with, and what would be needed."""

    if seeds >= 2 <= rounds:
        return
    if len(plan.kept) == 1 and plan.recipe.algorithm.needs_source:
        raise LthError(f'{run.folder} has one round, which trains what another run found: give that one, '
                       f'{os.path.normpath(run.folder / run.recipe["algorithm"]["source"])}.')
    needed = ['more seeds, such as --seeds 0-2'] * (seeds < 2) + ['at least one pruning (-i)'] * (rounds < 2)
    raise LthError(f'{run.folder} has {_counted(seeds, "seed")} and {_counted(rounds, "round")} that all of them have, '
                   'but stability compares at least 2 of each: let the search go on with '
                   f'{" and ".join(needed)}.')


def _counted(count: int, word: str) -> str:
    return f'{count} {word}' + 's' * (count != 1)


def _overlap(mask: Tensor, other: Tensor) -> tuple[float, float]:
    """The shared part of the union, and that of two random masks of these densities."""

    shared, either = int((mask & other).sum()), int((mask | other).sum())
    densities = [int(one.sum()) / len(one) for one in (mask, other)]
    both = math.prod(densities)
    return shared / either if either else 1., both / (sum(densities) - both) if both else 0.


def _copied(task: Task, question: CopyPair, which: int) -> Task:
    """The task on the same pictures, in another order and with other augmentation."""

    seed = rng.derive_seed(question.seed, 'copy', question.pair, which)
    return replace(task, seeds=(seed,), split_seeds=task.seeds)


def _line(start: State, end: State, points: int) -> Iterator[State]:
    """States at even steps from one to the other, both ends included."""

    for step in range(points):
        share = step / (points - 1)
        buffers = {name: torch.lerp(buffer, end.buffers[name], share) if buffer.is_floating_point() else buffer
                   for name, buffer in start.buffers.items()}
        yield State(torch.lerp(start.weights, end.weights, share), buffers, start.step)


def _angle(one: Tensor, other: Tensor) -> float:
    """In degrees."""

    cosine = float(one @ other) / (float(one.norm()) * float(other.norm()) or 1.)
    return math.degrees(math.acos(max(-1., min(1., cosine))))


def _place(run: Run, question: CopyPair) -> Path:
    name = (f'seed-{question.seed}-round-{question.round:02d}-from-{question.iteration}-pair-{question.pair}-points-'
            f'{question.points}.json')
    return folders.sibling_folder(run.folder, 'stability') / name


def _read(run: Run, question: CopyPair, ticket: str) -> PairErrors:
    place = _place(run, question)
    stored = files.read_json(place)
    try:
        if stored['ticket'] != ticket:
            raise LthError(f'{place} was measured on another ticket than lies in the run now: move it away, and the '
                           'same command measures it again.')
        return PairErrors(stored['errors'], stored['distance'], stored['angle'], stored['signs'])
    except (KeyError, TypeError):
        raise LthError(f'{place} is not what lth stability writes: move it away, and the same command measures it '
                       'again.') from None
