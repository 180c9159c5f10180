"""The curvature of the loss at the trained weights of each round, and how far training moved them from the ticket."""
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from lth import rng
from lth.analysis.loss_landscape.curvature_files import CURVATURES, Curvature, MeasuredRound
from lth.analysis.loss_landscape.hessian import hessian_product, require_curvlinops, spectrum
from lth.analysis.measured_run import (
    count_measured, missing_items, open_measured, refuse_missing_rounds, share_among_processes)
from lth.analysis.statistics import Interval, confidence_interval
from lth.analysis.summary_table import RecordedRun, RoundSummary, summary_rows
from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.pruning.tickets import Round
from lth.registry import user_code
from lth.runs.folder import Run
from lth.runs.removed_weights import MissingWeights, start_and_end
from lth.training.engines import select
from lth.training.engines.metrics import training_batches
from lth.training.task import Task

MOST_IMAGES = 2_000
# Products with Hessians need several times the memory of a training step.
_BATCH = 250


class CurvatureRow(NamedTuple):
    """A round over seeds; see Curvature. `relative_distance` is None if the tickets of all seeds are 0."""

    round: int
    density: float
    eigenvalue: Interval
    trace: Interval
    distance: Interval
    relative_distance: Interval | None
    flips: Interval


class PlannedRounds(NamedTuple):
    """The rounds to measure, in the order of seeds and rounds, and sentences about those that cannot be measured."""

    rounds: list[MeasuredRound]
    notes: list[str]


def plan_curvature(
        plan: Plan, run: Run, rounds: Sequence[int] | None = None, *, images: int = MOST_IMAGES) -> PlannedRounds:
    """These rounds of every seed, by default all. LthError if the run lacks one of them, if the option --keep removed
    what has to be measured, or if the run does not train the weights of each round.
    """

    seeds = run.seeds()
    count = min(run.round_count(seed) for seed in seeds)
    _refuse_other_runs(plan, run)
    numbers = _numbers(run, rounds, count)
    requested = [MeasuredRound(seed, number, images) for seed, number in itertools.product(seeds, numbers)]
    missing = _missing_weights(run, requested)
    if not missing:
        return PlannedRounds(requested, [])
    measurable = [one for one in requested if not missing.includes(one.seed, one.round)]
    consequence = ', so their curvature cannot be measured'
    if rounds is not None or not measurable:
        raise missing.error(consequence)
    return PlannedRounds(measurable, [f'{missing.sentence()}{consequence}.'])


def measure_curvature(
        run: Run, target: RunTarget, requested: Sequence[MeasuredRound], on_progress: Callable[[int, int], None],
) -> list[Curvature]:
    """The curvature of each round. Rounds that were measured before are read from RUN-stability. On the CPU the others
    are shared among processes. `on_progress` receives how many of how many rounds are measured.
    """

    path, read = partial(CURVATURES.path, run.folder), partial(CURVATURES.read, run.folder)
    missing = missing_items(requested, path, read)
    on_round = count_measured(on_progress, len(missing), len(requested))
    if missing:
        require_curvlinops()
        share_among_processes(_measure, target, missing, on_round, describe=_names)
    return list(map(read, requested))


def curvature_of(task: Task, round_: Round, *, images: int = MOST_IMAGES) -> Curvature:
    """The curvature at the trained weights of a round of one seed, R = 1, on at most so many training images, which are
    the same in all rounds of the seed. LthError if the round keeps no weights.
    """

    network, mask = task.network, round_.ticket.mask[0]
    if network.noisy:
        raise LthError(f'{network.settings.name} uses random numbers in evaluation mode too, so its loss has no fixed '
                       'Hessian. Remove them from its evaluation mode.')
    if not bool(mask.any()):
        raise LthError(f'Round {round_.number} keeps no weights, so it has no curvature. Choose other rounds with '
                       '--rounds.')
    (seed,) = task.seeds
    indices = rng.shuffle(task.splits[0][0], rng.generator(seed, 'curvature images'))[:images]
    weights = round_.trained.weights[0]
    buffers = {name: buffer[0] for name, buffer in round_.trained.buffers.items()}
    batches = list(training_batches(task, indices, _BATCH, weights))
    product = hessian_product(network, weights, buffers, mask, batches)
    found = spectrum(product, int(mask.sum()), rng.generator(seed, 'curvature', round_.number))
    start, end = (vector[0, :len(mask)][mask].double() for vector in (round_.ticket.weights, round_.trained.weights))
    return Curvature(len(indices), *found, distance=float((end - start).norm()), start_length=float(start.norm()),
                     flips=float((start.sign() != end.sign()).double().mean()))


def curvature_rows(
        run: RecordedRun, seeds: Sequence[int], measured: Sequence[tuple[MeasuredRound, Curvature]],
) -> list[CurvatureRow]:
    """A row for each round that was measured, in order."""

    summaries, groups = summary_rows([run], seeds), dict[int, list[Curvature]]()
    for one, curvature in measured:
        groups.setdefault(one.round, []).append(curvature)
    return [_row(summaries[number], groups[number]) for number in sorted(groups)]


def _row(summary: RoundSummary, group: Sequence[Curvature]) -> CurvatureRow:
    def mean(value: Callable[[Curvature], float]) -> Interval:
        return confidence_interval(list(map(value, group)))
    relative = [one.relative_distance for one in group if one.relative_distance is not None]
    return CurvatureRow(
        summary.source_number, summary.density, mean(lambda one: one.eigenvalue), mean(lambda one: one.trace),
        mean(lambda one: one.distance), confidence_interval(relative) if relative else None,
        mean(lambda one: one.flips))


def _measure(
        target: RunTarget, requested: Sequence[MeasuredRound], on_round: Callable[[MeasuredRound], None]) -> None:
    """Measure rounds in this process, and report each when it is saved."""

    plan, run, data, engine = open_measured(target, number=requested[0].round)
    for one in requested:
        task = plan.for_round(one.round).task(data, [one.seed], engine)
        round_ = run.load_round(one.seed, one.round).to(engine.device)
        with user_code.guard_training(f'Measuring {plan.recipe.model.name}, {_names([one])},',
                                      foreign_model=plan.network.has_foreign_code), \
                select.explain_failures(engine.device, f'measuring {run.folder}'):
            curvature = curvature_of(task, round_, images=one.images)
        CURVATURES.write(run.folder, one, curvature)
        on_round(one)


def _names(requested: Sequence[MeasuredRound]) -> str:
    """The seeds and rounds in words, for messages."""

    return ', '.join(f'seed {one.seed} round {one.round}' for one in requested)


def _refuse_other_runs(plan: Plan, run: Run) -> None:
    """LthError unless the weights of each round are trained from a ticket on."""

    settings = plan.recipe.algorithm
    if settings.finds == 'gems' or settings.trains != 'each':
        raise LthError(f'The curvature of {run.folder} cannot be measured: {settings.name} does not train each '
                       'round from a ticket on. Give a run of lth find-ticket, finetune or transfer.')


def _numbers(run: Run, rounds: Sequence[int] | None, count: int) -> Sequence[int]:
    """The rounds in order, by default all `count` that all seeds have."""

    if rounds is None:
        return range(count)
    refuse_missing_rounds(run, rounds, count)
    return sorted(set(rounds))


def _missing_weights(run: Run, requested: Sequence[MeasuredRound]) -> MissingWeights:
    """The weights that are missing of the rounds that were not measured before."""

    return MissingWeights.of(run.folder, start_and_end(
        (one.seed, one.round) for one in requested if not CURVATURES.path(run.folder, one).exists()))
