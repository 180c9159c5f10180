"""The Python API: what the commands do, as functions. `import lth` offers them as lth.find_ticket and so on.

    run = lth.find_ticket('lenet-300-100', 'digits', rounds=3, epochs=4, seeds=range(3))
    for row in run.table():
        print(row.seed, row.round, f'{row.density:.1%} of the weights, test accuracy {row.test_accuracy:.1%}')

A model is a name, a function (shape, classes) that returns a torch.nn.Module and is called again for each seed, or a
module, whose weights are the initial weights of every seed. Data are a name, four arrays (train_images, train_labels,
test_images, test_labels), or a pair (train, test) of torch.utils.data.Dataset. Wrong arguments raise LthError.
"""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

from lth.algorithms.retraining.transfer import Carried
from lth.analysis import evaluation, mode_connectivity, other_data, sanity_checks
from lth.analysis.alignment import AlignedRow, AlignmentBarrier, aligned_rows, measure_barriers
from lth.analysis.comparison import RunComparison, compare_runs
from lth.analysis.early_bird import EarlyBirds, early_birds
from lth.analysis.early_bird_tickets import EarlyBirdRow, early_bird_rows
from lth.analysis.evaluation import Evaluation
from lth.analysis.loss_landscape import barrier_table
from lth.analysis.loss_landscape.barrier_files import RoundErrors, RoundPair
from lth.analysis.loss_landscape.barrier_table import BarrierTable
from lth.analysis.loss_landscape.curvature import CurvatureRow, curvature_rows, measure_curvature, plan_curvature
from lth.analysis.loss_landscape.curvature_files import Curvature, MeasuredRound
from lth.analysis.loss_landscape.round_barriers import measure_round_pairs, plan_round_pairs
from lth.analysis.mask_overlap import MaskOverlap, mask_overlaps
from lth.analysis.metric_export import MetricExport
from lth.analysis.metric_export import export_metrics as write_metrics
from lth.analysis.other_data import OtherDataReport
from lth.analysis.pair_files import CopyPair, PairErrors
from lth.analysis.model_card.card import ModelCard, write_card
from lth.analysis.plotting.figure_set import figure_set
from lth.analysis.plotting.plot import Plot, plots
from lth.analysis.run_checks import run_checks
from lth.analysis.run_results import RunResults
from lth.analysis.run_view import view_run
from lth.analysis.sanity_report import SanityReport
from lth.analysis.sign_flips import SignReport, sign_report
from lth.errors import LthError
from lth.experiments import (
    align_plans, derived_plans, derived_runs, early_bird_plans, folders, gem_plans, import_plans, pool_plans,
    provenance, resolve, runner, transfer_plans)
from lth.experiments import open_run as opening
from lth.experiments.argument_types import check_types
from lth.experiments.changes import Changes
from lth.experiments.derived_plans import OptimizerName
from lth.experiments.plan import Plan
from lth.experiments.python_arguments import (
    Data, Execution, Model, Seeds, Settings, data_name, device_name, model_name, refuse_parallel_objects, reporter_of,
    run_target, seed_numbers, setting_pairs)
from lth.experiments.restart import set_aside
from lth.experiments.run_target import set_up_engine
from lth.experiments.thinning import Keep, thin_runs
from lth.exports.export import IMAGES, Export, export_round
from lth.pruning.early_bird import THRESHOLD
from lth.pruning.tickets import Round
from lth.registry import trust
from lth.registry.objects import is_object
from lth.runs.run_path import RunPath, parse_run_path
from lth.runs.stored_run import StoredRun
from lth.sharing.pull import Pulled, pull_run
from lth.sharing.push import Pushed, PushOptions, push_run
from lth.training.engines import select
from lth.training.task import Task


class Stability(NamedTuple):
    """Pairs of copies with their errors on the line between them, and the shares of weights that masks have in common.
    """

    pairs: tuple[tuple[CopyPair, PairErrors], ...]
    overlaps: tuple[MaskOverlap, ...]


class RoundBarriers(NamedTuple):
    """The table of the barriers between successive rounds, the pairs of rounds that it summarizes with the errors on
    the lines between them, and sentences about rounds that could not be measured.
    """

    table: BarrierTable
    pairs: tuple[tuple[RoundPair, RoundErrors], ...]
    notes: tuple[str, ...]


class Alignment(NamedTuple):
    """The run of aligned masks, whose controls are `naive` and `own`; the barriers between dense networks before and
    after their alignment; and the comparisons of the aligned masks with the controls in each round.
    """

    run: RunResults
    barriers: tuple[AlignmentBarrier, ...]
    rows: tuple[AlignedRow, ...]


class EarlyBirdTickets(NamedTuple):
    """The run of tickets that were drawn early, whose control is `end`, and the comparison of both at each density."""

    run: RunResults
    rows: tuple[EarlyBirdRow, ...]


class CurvatureResult(NamedTuple):
    """The curvature of the loss in each round as means over seeds, all measurements behind them, and sentences about
    rounds that could not be measured.
    """

    rows: tuple[CurvatureRow, ...]
    measurements: tuple[tuple[MeasuredRound, Curvature], ...]
    notes: tuple[str, ...]


@check_types(Execution)
def find_ticket(  # pylint: disable=too-many-arguments # as many as the command has options
        model: Model, data: Data, *, rounds: int | None = None, epochs: int | None = None,
        seeds: Seeds = 0, run: str | Path | None = None, recipe: str | Path | None = None,
        settings: Settings | None = None, controls: Sequence[str] = (), control_draws: int = 1,
        keep: Keep = 'all', restart: bool = False, **execution: Unpack[Execution]) -> RunResults:
    """Find lottery tickets: train, prune the smallest weights, rewind the rest, repeat.

    Prunes `rounds` times; the run has rounds 0 (the dense network) to `rounds`. The recipe of the model and data set
    is changed by `recipe`, a file or a name, then by `settings`, whose keys are dotted. Completed rounds in the folder
    `run` are kept, so the same call resumes a run, and one with more rounds extends it. `restart` first moves the old
    run and all runs derived from it aside. `controls` are trained at every density as well, in `control_draws` runs
    each; see `RunResults.controls`. When all is complete, `keep` removes weights of the rounds between the first and
    the last: 'tickets' what was trained, 'last' the tickets too.

        run = lth.find_ticket(make_net, (train_images, train_labels, test_images, test_labels), rounds=10, epochs=5,
                              seeds=range(3), run='runs/mine', settings={'algorithm.rewind': '500 iterations'},
                              controls=['reinit'])
        model = run.ticket(seed=0, round=7).module()
    """

    changes = Changes(epochs, {'algorithm.rounds': rounds}, setting_pairs(settings))
    plan = _ticket_plan(model, data, changes, recipe, execution)
    folder = folders.run_folder(_text(run), folders.search_name(plan))
    control_plans = derived_plans.control_plans(controls, plan, folder, draws=control_draws)
    plans = {folder: plan}
    for control, draws in control_plans.items():
        plans |= {folders.control_folder(folder, control, draw): one for draw, one in enumerate(draws, 1)}
    return _train_all(plans, seeds, execution, keep, restart=restart)


@check_types(Execution)
def find_gem(  # pylint: disable=too-many-arguments # as many as the command has options
        model: Model, data: Data, *, density: float | None = None, sparsity: float | None = None,
        algorithm: str | None = None, epochs: int | None = None, seeds: Seeds = 0,
        run: str | Path | None = None, recipe: str | Path | None = None, settings: Settings | None = None,
        keep: Keep = 'all', restart: bool = False, **execution: Unpack[Execution]) -> RunResults:
    """Find a rare gem: a subnetwork that is accurate before any of its weights is trained.

    `density` is the share of weights to keep; `sparsity` is the same as a percentage, as in Rare Gems. The algorithm is
    Gem-Miner by default. The rest is as in `find_ticket`.

        gem = lth.find_gem('lenet-300-100', 'mnist', density=0.05)
        trained = lth.finetune(gem)
    """

    plan = gem_plans.gem_plan(
        model_name(model), data_name(data), Changes(epochs, overrides=setting_pairs(settings)),
        density=gem_plans.gem_density(sparsity, density), algorithm=algorithm, recipe=_text(recipe),
        device=device_name(execution))
    folder = folders.run_folder(_text(run), folders.search_name(plan))
    return _train_all({folder: plan}, seeds, execution, keep, restart=restart)


@check_types(Execution)
def train_sparse(  # pylint: disable=too-many-arguments # as many as the command has options
        model: Model, data: Data, *, density: float | None = None, method: str | None = None,
        epochs: int | None = None, seeds: Seeds = 0, run: str | Path | None = None,
        recipe: str | Path | None = None, settings: Settings | None = None, keep: Keep = 'all',
        restart: bool = False, **execution: Unpack[Execution]) -> RunResults:
    """Train a sparse network, whose mask moves while it is trained.

    `density` is the share of the weights that are active at the end, `method` one of `lth list sparse-methods`, by
    default that of the recipe, RigL. The rest is as in `find_ticket`. The ticket of a round is its mask with the
    initial weights, so `lth.finetune` trains the mask that was found from the start.

        run = lth.train_sparse('lenet-300-100', 'digits', method='set', density=0.05, seeds=range(3))
        for row in run.table():
            print(row.seed, row.round, row.test_accuracy)
    """

    plan = resolve.sparse_plan(
        model_name(model), data_name(data), Changes(epochs, overrides=setting_pairs(settings)), density=density,
        method=method, recipe=_text(recipe), device=device_name(execution))
    folder = folders.run_folder(_text(run), folders.search_name(plan))
    return _train_all({folder: plan}, seeds, execution, keep, restart=restart)


@check_types(Execution)
def finetune(  # pylint: disable=too-many-arguments # as many as the command has options
        run: RunResults | str | Path, *, round: int | None = None,  # pylint: disable=redefined-builtin
        seeds: Seeds | None = None, data: Data | None = None, optimizer: OptimizerName | None = None,
        epochs: int | None = None, cycles: int | None = None, then_prune: float | None = None,
        settings: Settings | None = None, new_run: str | Path | None = None,
        keep: Keep = 'all', restart: bool = False, **execution: Unpack[Execution]) -> RunResults:
    """Train the tickets or gems of a run from their own weights under their masks, by default those of its last round.

    A gem is trained as its recipe says (algorithm.finetune), a ticket as in its search, unless `data`, `optimizer`,
    `epochs` or `settings` say otherwise. The results are in RUN-finetuned-round-NN, or in the folder `new_run`.
    `cycles` repeats the whole learning-rate schedule, each time with a new optimizer. With `then_prune` the result is
    pruned once, by magnitude over all layers, to this share of the weights, and trained for one more cycle (SCULPT).

        trained = lth.finetune(gem, epochs=20)
        trained = lth.finetune(run, round=3, cycles=3, then_prune=0.05)
        trained = lth.finetune('runs/lenet-300-100-mnist/seed-0/round-07', data='fashion-mnist')
    """

    path = _run_path(run)
    source = opening.open_source(path, seeds=None if seeds is None else seed_numbers(seeds), number=round)
    dataset = None if data is None else data_name(data)
    suffix = derived_plans.finetune_suffix(dataset, cycles, then_prune)
    folder = _new_folder(new_run, folders.derived_folder(path, source.number, suffix))
    changes = Changes(epochs, {'training.cycles': cycles}, setting_pairs(settings))
    plan = derived_plans.finetune_plan(
        source, folder, changes, optimizer=optimizer, dataset=dataset, then_prune=then_prune)
    return _train_all({folder: plan}, source.seeds, execution, keep, restart=restart)


@check_types(Execution)
def transfer(  # pylint: disable=too-many-arguments # as many as the command has options
        run: RunResults | str | Path, data: Data, *, rounds: Sequence[int] | None = None, carry: Carried = 'weights',
        random_tickets: bool = False, epochs: int | None = None, recipe: str | Path | None = None,
        settings: Settings | None = None, new_run: str | Path | None = None, keep: Keep = 'all', restart: bool = False,
        **execution: Unpack[Execution]) -> RunResults:
    """Train the tickets of a run on other data, by the recipe of its model and that data (Morcos et al. 2019).

    All rounds are transferred, or those in `rounds`. `random_tickets` adds a control: shuffled masks of the same
    densities on re-initialized weights. `carry` is what is transferred with the mask: 'weights', the 'signs' of the
    trained weights or the 'start-signs' of the first ones on new magnitudes, or only the 'mask'. The results are in
    RUN-to-DATA-round-NN, NN being the last round, or in the folder `new_run`.

        transferred = lth.transfer(run, 'fashion-mnist', rounds=[0, 5])
    """

    path, dataset = _run_path(run), data_name(data)
    source = opening.open_source_rounds(path, rounds)
    suffix = transfer_plans.transfer_suffix(dataset, carry=carry)
    folder = _new_folder(new_run, folders.derived_folder(path, max(source.numbers), suffix))

    def plan_in(target: Path, ticket: Literal['found', 'random']) -> Plan:
        changes = Changes(epochs, overrides=setting_pairs(settings))
        return transfer_plans.transfer_plan(
            source, dataset, target, changes, ticket=ticket, carry=carry, recipe=_text(recipe),
            device=device_name(execution))

    plans = {folder: plan_in(folder, 'found')}
    if random_tickets:
        control = folders.control_folder(folder, 'random')
        plans[control] = plan_in(control, 'random')
    return _train_all(plans, source.seeds, execution, keep, restart=restart)


@check_types(Execution)
def pool(
        run: RunResults | str | Path, *, rounds: Sequence[int] | None = None,
        scope: Literal['global', 'layer'] | None = None, new_run: str | Path | None = None, restart: bool = False,
        **execution: Unpack[Execution]) -> RunResults:
    """Interpolate the trained tickets of the other rounds of a search into each ticket, without training (Lottery
    Pools), where that raises the validation accuracy.

    All rounds are pooled, or those in `rounds`. The densities do not change: pooled weights are pruned by magnitude in
    all layers together (`scope` 'global') or in each layer, by default as in the search. The results are in RUN-pool,
    or in the folder `new_run`.

        pooled = lth.pool(run)
        pooled.plot('averages')
    """

    path = _run_path(run)
    source = opening.open_source_rounds(path, rounds)
    folder = _new_folder(new_run, pool_plans.pool_folder(path))
    plan = pool_plans.pool_plan(source, folder, scope=scope)
    return _train_all({folder: plan}, source.seeds, execution, 'all', restart=restart)


@check_types(Execution)
def align(  # pylint: disable=too-many-arguments # as many as the command has options
        run: RunResults | str | Path, *, rounds: Sequence[int] | None = None, epochs: int | None = None,
        settings: Settings | None = None, new_run: str | Path | None = None, keep: Keep = 'all',
        restart: bool = False, **execution: Unpack[Execution]) -> Alignment:
    """Carry the masks of one seed to the initial weights of the others, with aligned channels (Adnan et al. 2025).

    `run` is a search with two or more seeds; the seed that its path names, by default the first, has the masks. All
    rounds but the dense one are carried, or those in `rounds`. They are trained from the weights of the other seeds at
    the rewind point: permuted, as they are (`naive`), and next to the tickets of these seeds (`own`). The results are
    in RUN-aligned-from-seed-A-round-NN, or in the folder `new_run`.

        result = lth.align('runs/lenet-300-100-mnist', rounds=[7])
        for barrier in result.barriers:
            print(barrier.seed, barrier.naive, barrier.aligned)
    """

    source = align_plans.open_aligned(_run_path(run), rounds)
    folder = _new_folder(new_run, align_plans.aligned_folder(source))
    planned = align_plans.align_plans(source, folder, Changes(epochs, overrides=setting_pairs(settings)))
    plans = {folder: planned.aligned}
    plans |= {folders.control_folder(folder, name): plan for name, plan in planned.controls.items()}
    _set_aside(plans, source.seeds, execution, restart=restart)
    barriers = measure_barriers(source, run_target(folder, execution))
    trained = _train_all(plans, source.seeds, execution, keep, restart=False)
    rows = aligned_rows(source, planned, folder)
    return Alignment(trained, tuple(barriers), tuple(rows))


@check_types(Execution)
def import_run(  # pylint: disable=too-many-arguments # as many as the command has options
        form: str, path: str | Path, *, model: Model | None = None, data: Data | None = None,
        seeds: Seeds | None = None, names: Mapping[str, str] | None = None, rewind: str | Path | None = None,
        run: str | Path | None = None, settings: Settings | None = None, restart: bool = False,
        **execution: Unpack[Execution]) -> RunResults:
    """Import masks and weights that another program found, as a run on which all functions work.

    `form` is 'open_lth', 'torch-prune' or 'rare-gems', `path` what that program wrote. No code in its files is
    executed. `model` and `data` are needed where the files do not name them; `names` maps names of layers in the files
    to those in the model. `rewind` is a state dict with the weights from before training, if `path` has none.

        run = lth.import_run('torch-prune', 'pruned', model='lenet-300-100', data='mnist', rewind='initial.pt')
        lth.sanity_check(run)
    """

    pairs = [f'{old}={new}' for old, new in (names or {}).items()]
    wanted = import_plans.Import(
        form, Path(path), None if model is None else model_name(model), None if data is None else data_name(data),
        pairs, None if rewind is None else Path(rewind))
    plan, found = import_plans.import_plan(
        wanted, Changes(overrides=setting_pairs(settings)), seeds=None if seeds is None else seed_numbers(seeds),
        device=device_name(execution))
    folder = folders.run_folder(_text(run), import_plans.import_folder(plan))
    if restart:
        set_aside(folder, reporter_of(execution).message)
    return _train(plan, folder, found, execution)


@check_types(Execution)
def evaluate(
        run: RunResults | str | Path, *, round: int | None = None,  # pylint: disable=redefined-builtin
        **execution: Unpack[Execution]) -> list[Evaluation]:
    """Measure the test accuracy of a run again from its files, in all rounds or in one, and count weights by layer.

        for evaluation in lth.evaluate(run, round=3):
            print(evaluation.seed, evaluation.test_accuracy, evaluation.layers)
    """

    path, opened = _run_path(run), RunResults.open(_run_path(run))
    plan, stored, seeds = opened.plan, opened.stored, opened.seeds
    number = path.round if round is None else opening.select_round(plan, stored, seeds, path.round, round)
    target = run_target(path.folder, execution | {'compile': 'off'})
    engine = set_up_engine(plan, target.resumed(stored))
    images = plan.load(target.datasets, engine.device)
    provenance.refuse_changed_run(stored, provenance.inputs(plan, images))
    return list(evaluation.evaluate_rounds(plan, stored, images, engine, seeds, number))


@check_types(Execution)
def evaluate_on(
        run: RunResults | str | Path, data: str, *, rounds: Sequence[int] | None = None,
        **execution: Unpack[Execution]) -> OtherDataReport:
    """Measure the trained networks of a run on other images: the corrupted images `cifar10-c` or `cifar100-c`, or the
    test images of another data set of the same shape and number of classes. `rounds` are by default all.

        report = lth.evaluate_on('resnet20-cifar10', 'cifar10-c', rounds=[0, 7])
        print(report.mean(7), report.mean(7, 'fog', severity=5))
    """

    path = _run_path(run)
    return other_data.evaluate_on(
        path, trust.add(data), run_target(path.folder, execution | {'compile': 'off'}), rounds=rounds)


@check_types(Execution)
def sanity_check(  # pylint: disable=too-many-arguments # as many as the command has options
        run: RunResults | str | Path, *, checks: Sequence[str] | None = None,
        seeds: Seeds | None = None, round: int | None = None,  # pylint: disable=redefined-builtin
        epochs: int | None = None, settings: Settings | None = None, new_run: str | Path | None = None,
        keep: Keep = 'all', restart: bool = False, **execution: Unpack[Execution]) -> SanityReport:
    """Compare a ticket or gem with variants in which one thing is changed, each finetuned exactly like the original.

    `checks` names what is changed, by default all that apply to the run; `seeds` are by default its first three.
    `epochs` and `settings` change how all of them are finetuned. The runs are in RUN-checks-round-NN, or in `new_run`.

        report = lth.sanity_check(run, checks=['reinit', 'shuffle-mask'])
        for check in report.checks:
            print(check.check, check.accuracy.mean, check.verdict)
    """

    path = _run_path(run)
    source = sanity_checks.open_checked(path, seeds=None if seeds is None else seed_numbers(seeds), number=round)
    names, left_out = sanity_checks.select_checks(checks, source)
    folder = _new_folder(new_run, folders.derived_folder(path, source.number, 'checks'))
    changes = Changes(epochs, overrides=setting_pairs(settings))
    target, reporter = run_target(folder, execution), reporter_of(execution)
    planned, without_weights = sanity_checks.checks_with_weights(
        list(sanity_checks.check_runs(source, folder, names, changes)), source.seeds, named=checks, restart=restart)
    for note in (*left_out, *without_weights):
        reporter.message(f'Note: {note}.')
    refuse_parallel_objects(source.plan, target)
    if restart:
        set_aside(folder, reporter.message)
    return run_checks(
        planned, source, target, lambda plan, _seeds: nullcontext(reporter_of(execution, plan)), reporter.message,
        keep=keep)


@check_types(Execution)
def stability(
        run: RunResults | str | Path, *, rounds: Sequence[int] | None = None, part_at: Sequence[int] = (),
        pairs: int = 1, points: int = 30, restart: bool = False, **execution: Unpack[Execution]) -> Stability:
    """Train two copies of each ticket in different orders of the data, and measure the error on the line between them.

    `rounds` are by default the first and the last. The copies are trained separately from the iterations `part_at` on,
    by default from the iteration at which each ticket starts. `pairs` pairs of copies are compared for each ticket,
    with the error measured at `points` points.

        for pair, errors in lth.stability(run, rounds=[0, 3]).pairs:
            print(pair.seed, pair.round, errors.barrier)
    """

    opened = _open_whole(run, 'stability compares')
    last = min(opened.stored.round_count(seed) for seed in opened.seeds) - 1
    numbers = [0, last] if rounds is None else list(rounds)
    planned = mode_connectivity.plan_pairs(
        opened.plan, opened.stored, numbers, list(part_at), pairs=pairs, points=points, restart=restart)
    target = run_target(opened.folder, execution)
    refuse_parallel_objects(opened.plan, target)
    if restart:
        set_aside(folders.sibling_folder(opened.folder, 'stability'), reporter_of(execution).message)
    errors = mode_connectivity.measure_pairs(
        opened.stored, target, planned, lambda _done, _total: None, reporter_of(execution).message)
    overlaps = mask_overlaps(opened.stored, numbers)
    return Stability(tuple(zip(planned, errors, strict=True)), tuple(overlaps))


@check_types(Execution)
def round_barriers(
        run: RunResults | str | Path, *, rounds: Sequence[int] | None = None, points: int = 30, margin: float = 0.2,
        **execution: Unpack[Execution]) -> RoundBarriers:
    """Measure the error between the trained weights of each round and those of the round before (Paul et al. 2022).

    `rounds` are by default all after round 0. The error is measured at `points` points of the line between both
    networks, and of the line that starts from the earlier one pruned to the later mask. Each row of the table also has
    the verdict on whether the round matches the dense network, with a `margin` in percentage points.

        for row in lth.round_barriers(run).table.rows:
            print(row.round, row.barrier.mean, row.connected, row.matching, row.agrees)
    """

    opened = _open_whole(run, 'barriers are measured over')
    planned = plan_round_pairs(opened.plan, opened.stored, rounds, points=points)
    target = run_target(opened.folder, execution)
    refuse_parallel_objects(opened.plan, target)
    errors = measure_round_pairs(opened.stored, target, planned.pairs, lambda _done, _total: None)
    measured = tuple(zip(planned.pairs, errors, strict=True))
    table = barrier_table.barrier_table(opened.stored, opened.seeds, measured, margin / 100)
    return RoundBarriers(table, measured, tuple(planned.notes))


@check_types(Execution)
def early_bird(run: RunResults | str | Path, *, threshold: float = THRESHOLD) -> EarlyBirds:
    """When the masks of a search with `algorithm.early_bird` stop changing while its dense network trains: by the
    published test (You et al. 2020), and by the distance to the last four masks divided by that of random masks, at
    most `threshold`. LthError if the search did not compare masks.

        run = lth.find_ticket('lenet-300-100', 'digits', settings={'algorithm.early_bird': [0.5, 0.2, 0.05]})
        for row in lth.early_bird(run).densities:
            print(row.density, row.published, row.normalised)
    """

    view = view_run(_run_path(run))
    return early_birds(view.run, view.seeds, _checked_threshold(threshold))


@check_types(Execution)
def train_early_birds(
        run: RunResults | str | Path, *, threshold: float = THRESHOLD, new_run: str | Path | None = None,
        keep: Keep = 'all', restart: bool = False, **execution: Unpack[Execution]) -> EarlyBirdTickets:
    """Train the tickets that early birds draw, next to those from the end of training (You et al. 2020).

    `run` is a search with `algorithm.early_bird`. Of the densities it compared, those are trained at which all seeds
    have an early bird by a normalised distance of at most `threshold`. The dense network of each seed is trained again
    up to there and pruned, and the ticket is trained from the rewind point of the search; the control `end` has masks
    from the end of the same training. The results are in RUN-early-birds, or in the folder `new_run`.

        for row in lth.train_early_birds(run).rows:
            print(row.density, row.iterations, row.comparison.difference)
    """

    path = _run_path(run)
    source = early_bird_plans.open_watched(path, _checked_threshold(threshold))
    folder = _new_folder(new_run, early_bird_plans.early_bird_folder(path))
    planned = early_bird_plans.early_bird_plans(source, folder)
    plans = {folder: planned.early}
    plans |= {folders.control_folder(folder, name): plan for name, plan in planned.controls.items()}
    trained = _train_all(plans, source.seeds, execution, keep, restart=restart)
    return EarlyBirdTickets(trained, tuple(early_bird_rows(source, planned, folder)))


@check_types(Execution)
def curvature(
        run: RunResults | str | Path, *, rounds: Sequence[int] | None = None, images: int = 2_000,
        **execution: Unpack[Execution]) -> CurvatureResult:
    """Measure the curvature of the loss at the trained weights of each round, and their distance from the ticket.

    The largest eigenvalue and the trace of the Hessian are those of the kept weights, on at most 2,000 training
    `images`, with BatchNorm in evaluation mode. `rounds` are by default all. Needs the extra `curvature`.

        for row in lth.curvature(run).rows:
            print(row.round, row.eigenvalue.mean, row.trace.mean, row.distance.mean)
    """

    opened = _open_whole(run, 'curvature is measured over')
    planned = plan_curvature(opened.plan, opened.stored, rounds, images=images)
    target = run_target(opened.folder, execution)
    refuse_parallel_objects(opened.plan, target)
    found = measure_curvature(opened.stored, target, planned.rounds, lambda _done, _total: None)
    measured = tuple(zip(planned.rounds, found, strict=True))
    rows = curvature_rows(opened.stored, opened.seeds, measured)
    return CurvatureResult(tuple(rows), measured, tuple(planned.notes))


@check_types(Execution)
def iterate(
        model: Model, data: Data, *, rounds: int | None = None, epochs: int | None = None,
        seeds: Seeds = 0, recipe: str | Path | None = None, settings: Settings | None = None,
        **execution: Unpack[Execution]) -> Iterator[Round]:
    """Iterate over the rounds of a search for tickets, without files. All seeds train together, along the first axis.

        for round in lth.iterate(make_net, 'mnist', rounds=3):
            print(round.number, round.ticket.mask.float().mean(), round.trained.history[-1].test.accuracy)
    """

    changes = Changes(epochs, {'algorithm.rounds': rounds}, setting_pairs(settings))
    plan = _ticket_plan(model, data, changes, recipe, execution)
    target = run_target(Path(), execution)
    engine = set_up_engine(plan, target)
    select.refuse_unsupported_precision(engine.device, plan.recipe.training.precision)
    images = plan.load(target.datasets, engine.device)
    task = plan.for_data(images).task(images, seed_numbers(seeds), engine)
    return _rounds(plan, task)


@check_types(Execution)
def open_run(
        run: RunResults | str | Path, *, model: Model | None = None, data: Data | None = None,
        trust_code: bool = False) -> RunResults:  # pylint: disable=unused-argument # check_types reads it
    """Open a run on disk, with all seeds that have a completed round, or with the seed that the path names.

    A run whose model or data were given as Python objects needs them again; LthError if they differ from those that
    the run was made with. A run that names code outside of lth and its plug-ins is opened only if the same name is
    given as `model` or `data`, or with `trust_code`.

        run = lth.open_run('runs/mine', model=make_net, data=(train_images, train_labels, test_images, test_labels))
    """

    path = _run_path(run)
    given = {} if model is None else {'model': model_name(model)}
    given |= {} if data is None else {'data': data_name(data)}
    provenance.refuse_other_objects(path.folder, given)
    results = RunResults.open(path)
    if is_object(results.plan.recipe.model.name):
        provenance.refuse_other_inputs(results.stored, {'network': results.plan.network.fingerprint})
    return results


@check_types(Execution)
def plot(
        runs: RunResults | str | Path | Sequence[RunResults | str | Path], figures: str | Sequence[str] | None = None,
        *, rounds: Sequence[int] | None = None, style: str = 'screen') -> list[Plot]:
    """The figures of a run, or of several runs together: those that are named, or all that there are data for.

    `rounds` are shown in figures that cannot show all; the styles are 'screen' and 'paper'. A notebook shows a Plot.

        for plot in lth.plot(run):
            plot.save(f'{plot.data.name}.pdf')
    """

    names = [figures] if isinstance(figures, str) else figures
    contents = figure_set(_run_paths(runs), names, rounds=rounds).contents
    return plots(contents, style)


@check_types(Execution)
def compare(runs: Sequence[RunResults | str | Path]) -> RunComparison:
    """Compare two or more runs with the first of them: accuracies at equal densities, settings that differ, and cost.

    Differences are paired by seed, over the seeds that both runs have. Runs are read from their files alone.

        for level in lth.compare(['runs/one-shot', 'runs/iterative']).levels:
            for difference in filter(None, level.differences):
                print(level.density, difference.test_accuracy.difference, difference.test_accuracy.p)
    """

    return compare_runs(_run_paths(runs))


@check_types(Execution)
def sign_flips(run: RunResults | str | Path) -> SignReport:
    """The share of kept weights whose sign differs between the ticket and the trained network, in each round.

    Each row has means over seeds: of all kept weights, of each layer, and of each tenth of the weights by their
    magnitude before training, the smallest first. A path may name one seed or one round. Runs are read from their files
    alone.

        for row in lth.sign_flips(run).rows:
            print(row.round, row.share.mean, [decile.mean for decile in row.deciles])
    """

    path = _run_path(run)
    stored = StoredRun.open(path.folder)
    return sign_report(stored, stored.seeds() if path.seed is None else [path.seed], path.round)


@check_types(Execution)
def export(
        run: RunResults | str | Path, format: str, *,  # pylint: disable=redefined-builtin
        weights: Literal['trained', 'ticket'] = 'trained', output: str | Path | None = None, images: int = IMAGES,
        **execution: Unpack[Execution]) -> Export:
    """Export the network of one round, RUN/seed-S/round-NN, for use without lth: as 'torch', 'onnx', 'compacted', 'csr'
    or another format of EXPORT_FORMATS, with its trained weights or those of its ticket.

    It is written to a new folder, by default RUN-exports/seed-S-round-NN-FORMAT, only if it computes the same as the
    network on `images` test images. Its latency is measured on the CPU.

        made = lth.export('runs/lenet-300-100-mnist/seed-0/round-07', 'compacted')
        print(made.folder, made.size, made.dense_size, [latency.verdict for latency in made.latencies])
    """

    path = _run_path(run)
    target = run_target(path.folder, execution)
    return export_round(path, format, weights, None if output is None else Path(output), target, images=images)


@check_types(Execution)
def export_metrics(
        runs: RunResults | str | Path | Sequence[RunResults | str | Path], file: str | Path, *,
        controls: bool = False) -> MetricExport:
    """Write all measurements of runs, seeds or rounds to a .csv, .parquet or .json file: a row for each value.

    The rows are those of `run.metrics()`, with all settings. `controls` adds the controls of the runs.

        lth.export_metrics([run, 'runs/other/seed-0'], 'metrics.parquet')
    """

    return write_metrics(_run_paths(runs), Path(file), controls=controls)


@check_types(Execution)
def card(
        run: RunResults | str | Path, file: str | Path | None = None, *,
        license: str | None = None,  # pylint: disable=redefined-builtin
        margin: float = 0.2) -> ModelCard:
    """Write the model card of a run, by default to RUN/README.md, and a figure next to it.

    `license` is an identifier of the Hugging Face Hub, such as 'mit'; without it, the card names none. `margin` is that
    of the answers, in percentage points. The run is read from its files alone.

        print(lth.card(run, license='mit').file)
    """

    output = None if file is None else Path(file)
    return write_card(_run_path(run), output, license_=license, margin=margin / 100)


@check_types(Execution)
def push(
        run: RunResults | str | Path, repository: str, *, private: bool = False,
        license: str | None = None,  # pylint: disable=redefined-builtin
        unfinished: bool = False, dry_run: bool = False, margin: float = 0.2) -> Pushed:
    """Upload a run to the repository OWNER/NAME on the Hugging Face Hub, with the runs that start from it and a card.

    Names of machines and users, paths, logs and checkpoints are left out. `unfinished` also shares runs that are not
    complete; with `dry_run` nothing is uploaded. Needs the extra `hub`, and a token: `hf auth login`, or HF_TOKEN.

        lth.push(run, 'alice/lenet-tickets', license='mit')
    """

    options = PushOptions(
        private=private, license_=license, unfinished=unfinished, dry_run=dry_run, margin=margin / 100)
    return push_run(_run_path(run), repository, options)


@check_types(Execution)
def pull(repository: str, folder: str | Path | None = None, *, revision: str | None = None) -> Pulled:
    """Download the runs of the repository OWNER/NAME on the Hugging Face Hub, by default to runs/NAME.

    All checksums are compared, and no code is downloaded or run. `revision` is a branch, a tag or a commit. Needs the
    extra `hub`.

        run = lth.open_run(lth.pull('alice/lenet-tickets').run)
    """

    return pull_run(repository, folder, revision)


def _ticket_plan(
        model: Model, data: Data, changes: Changes, recipe: str | Path | None, execution: Execution) -> Plan:
    return resolve.ticket_plan(
        model_name(model), data_name(data), changes, recipe=_text(recipe), device=device_name(execution))


def _train_all(
        plans: Mapping[Path, Plan], seeds: Seeds, execution: Execution, keep: Keep, *, restart: bool) -> RunResults:
    """Train what the runs in these folders lack, the first of them and then its controls. Returns the first one, after
    the weights that `keep` does not name are removed from all of them.
    """

    numbers = seed_numbers(seeds)
    _set_aside(plans, numbers, execution, restart=restart)
    results = [_train(plan, folder, numbers, execution) for folder, plan in plans.items()]
    thin_runs((one.stored for one in results), results[0].seeds, keep)
    return results[0]


def _set_aside(
        plans: Mapping[Path, Plan], seeds: Sequence[int], execution: Execution, *, restart: bool) -> None:
    """Report layers without weights, and with `restart`, move the first of these runs aside. LthError if weights are
    missing from which one starts.
    """

    derived_runs.refuse_removed_sources(plans, seeds, restart=restart)
    for note in derived_runs.collapse_notes(plans, seeds):
        reporter_of(execution).message(f'Note: {note}.')
    if restart:
        set_aside(next(iter(plans)), reporter_of(execution).message)


def _train(plan: Plan, folder: Path, seeds: Seeds, execution: Execution) -> RunResults:
    """Train what the run in the folder lacks."""

    target, numbers = run_target(folder, execution), seed_numbers(seeds)
    refuse_parallel_objects(plan, target)
    stored = runner.run_plan(plan, target, numbers, reporter_of(execution, plan))
    return RunResults(folder, tuple(numbers), plan, stored)


def _rounds(plan: Plan, task: Task) -> Iterator[Round]:
    with select.explain_training_failures(task):
        yield from plan.algorithm.find(task, plan.recipe.algorithm, ())


def _run_path(run: RunResults | str | Path) -> RunPath:
    return parse_run_path(str(run.folder if isinstance(run, RunResults) else run))


def _run_paths(runs: RunResults | str | Path | Sequence[RunResults | str | Path]) -> list[RunPath]:
    """The path of a run, or of each of several."""

    return list(map(_run_path, [runs] if isinstance(runs, RunResults | str | Path) else runs))


def _open_whole(run: RunResults | str | Path, what: str) -> RunResults:
    """Open a run for what needs all its seeds, in words. LthError if the path names a part of it."""

    path = _run_path(run)
    if path.seed is not None:
        raise LthError(f'{run} is a part of a run, but {what} its seeds. Give {path.folder}.')
    return RunResults.open(path)


def _checked_threshold(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise LthError(f'threshold: {threshold} is not a distance between 0, equal masks, and 1, random ones.')
    return threshold


def _new_folder(name: str | Path | None, default: Path) -> Path:
    return default if name is None else folders.run_folder(str(name), '')


def _text(name: str | Path | None) -> str | None:
    return None if name is None else str(name)
