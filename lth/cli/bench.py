"""`lth bench`: measure the time of a training step, compared with an ordinary PyTorch loop and an expert's."""
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from lth import benchmark, experiments
from lth.cli.arguments import changes, parse_densities
from lth.cli.bench_tables import print_convolutions, print_profile, print_selection, print_study, print_times
from lth.cli.command import command
from lth.cli.console import print_json, print_text
from lth.cli.data_dir import accepts_data_dir
from lth.cli.option_rules import Excludes, Needs, option_rules
from lth.cli.options import (
    DatasetName, Datasets, Device, Json, Model, Overrides, Precision, RecipeName, Threads)
from lth.cli.progress import ProgressDisplay
from lth.cli.trust_code import accepts_trust_code
from lth.cli.option_values import whole_number

if TYPE_CHECKING:
    from lth.benchmark.contenders import Contender
    from lth.benchmark.json_output import StudyTimes
    from lth.benchmark.whole_search import Study
    from lth.experiments.changes import Changes
    from lth.experiments.plan import Plan
    from lth.experiments.run_target import RunTarget

# Densities at which sparse training is timed.
_MOVING = (0.1, 0.05, 0.01)
# Options for timing single steps.
_OF_STEPS = ('--algorithm', '--densities', '--seeds')


@command
@accepts_data_dir
@accepts_trust_code
@option_rules(
    Needs('--run', '--study'),
    Excludes('--study', ['--masks', '--convolutions', '--profile', *_OF_STEPS]),
    Excludes('--masks', ['--convolutions', '--profile', *_OF_STEPS]),
    Excludes('--convolutions', ['--profile', *_OF_STEPS]),
    Excludes('--sparse-training', [
        '--study', '--masks', '--convolutions', '--profile', '--sweep', '--algorithm', '--seeds']),
    Excludes('--sweep', ['--study', '--masks', '--convolutions', '--profile', '--turns', *_OF_STEPS]))
def bench(  # pylint: disable=too-many-arguments,too-many-locals # one parameter per option
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        recipe: RecipeName = None,
        override: Overrides = None,
        turns: Annotated[int, typer.Option(
            '--turns', parser=whole_number(smallest=1, largest=10_000), metavar='N',
            help='Number of times that each engine is timed, about a second each.')] = 9,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        algorithm: Annotated[str, typer.Option(
            '--algorithm', metavar='NAME', help='magnitude: time steps that train weights. gem-miner, edge-popup: also '
                                                'time steps that train scores.')] = 'magnitude',
        densities: Annotated[str | None, typer.Option(
            '--densities', metavar='SHARES', show_default=False,
            help='Time random tickets that keep these shares of the weights, such as 1,0.51,0.21.')] = None,
        seeds: Annotated[int, typer.Option(
            '--seeds', parser=whole_number(smallest=1, largest=1_000), metavar='N',
            help='Also time N seeds that train at the same time, as processes and as threads.')] = 1,
        study: Annotated[bool, typer.Option(
            '--study', help='Estimate the time of a whole search with one seed: all steps of all rounds.')] = False,
        run: Annotated[bool, typer.Option(
            '--run', help='With --study: also run the whole search and time it. Its files are not kept.')] = False,
        profile: Annotated[bool, typer.Option(
            '--profile', help='Print what the time of a step is spent on: GPU kernels, or operators on a CPU, by kind.',
        )] = False,
        masks: Annotated[bool, typer.Option(
            '--masks', help='Time the selection of a mask over all weights, instead of a training step.')] = False,
        convolutions: Annotated[bool, typer.Option(
            '--convolutions', help='On a GPU: time the convolutions of ResNet-20 for eight seeds one by one, as groups '
                                   'of one convolution, and in one kernel.')] = False,
        sweep: Annotated[bool, typer.Option(
            '--sweep', help='Time a sweep of 100 runs of two short rounds: what a run costs besides its training.',
        )] = False,
        sparse_training: Annotated[bool, typer.Option(
            '--sparse-training',
            help='Time steps of sparse training: RigL and SET replace 30% of the weights every 100 iterations. At the '
                 'densities 0.1, 0.05 and 0.01, or those of --densities.')] = False,
        as_json: Json = False,
) -> None:
    """Time a training step of lth, of an ordinary PyTorch loop, and of an expert's loop.

    The baseline uses a DataLoader, PIL transforms, the default optimizer and fp32, and multiplies gradients by the
    mask. The expert keeps the images on the device, crops and normalizes whole batches there, uses the recipe's
    precision, channels_last, a fused optimizer and, on a GPU, torch.compile with CUDA graphs. If the package sparselab
    is installed, --densities also times it, on networks of dense layers on a CPU. All engines are timed alternately,
    each in its own process. Ratios are therefore reliable on a busy machine, the times themselves are not.

    [bold]Examples[/bold]

        lth bench lenet-300-100 mnist

        lth bench lenet-300-100 mnist --densities 1,0.51,0.21,0.107,0.055,0.0115

        lth bench lenet-300-100 mnist --densities 1,0.21,0.055 --seeds 2

        lth bench lenet-300-100 mnist --sparse-training

        lth bench lenet-300-100 mnist --study --run

        lth bench resnet20 cifar10 --algorithm gem-miner

        lth bench resnet20 cifar10 --profile

        lth bench resnet50 imagenet --masks

        lth bench lenet-300-100 digits --sweep
    """

    changed = changes({'training.precision': precision}, override)
    plan = experiments.resolve.ticket_plan(model, dataset, changed, recipe=recipe, device=device)
    if sweep:
        make_plan = partial(experiments.resolve.ticket_plan, model, dataset, recipe=recipe, device=device)
        _bench_sweep(make_plan, changed, experiments.run_target.RunTarget(Path(), datasets, device, threads),
                     as_json=as_json)
    elif masks:
        _bench_masks(plan, turns, as_json=as_json)
    elif convolutions:
        _bench_convolutions(device, plan.recipe.training.batch_size, turns, as_json=as_json)
    elif study:
        study_result = _study(plan, experiments.run_target.RunTarget(Path(), datasets, device, threads), turns, run=run)
        if as_json:
            print_json(_study_output(plan, study_result, turns))
        else:
            print_study(study_result, f'{_pair(plan)}, median of {turns} turns')
    else:
        timed = _Timed(algorithm, densities, seeds, sparse_training=sparse_training)
        contenders = _contenders(plan, device, timed)
        if profile:
            _profile(plan, datasets, contenders, threads, as_json=as_json)
            return
        rows = benchmark.timing.time_contenders(plan, datasets, contenders, threads=threads, turns=turns)
        if as_json:
            output = benchmark.json_output
            print_json(output.StepTimes(
                model=plan.recipe.model.name, dataset=plan.recipe.data.name,
                batch_size=plan.recipe.training.batch_size, turns=turns, rows=list(map(output.StepTime.of, rows))))
        else:
            batch = f'batch size {plan.recipe.training.batch_size}, {threads} thread{"s" if threads > 1 else ""}'
            print_times(rows, f'{_pair(plan)}, {batch}, median of {turns} turns')


class _Timed(NamedTuple):
    """The options that say which steps are timed."""

    algorithm: str
    densities: str | None
    seeds: int
    sparse_training: bool


def _contenders(plan: 'Plan', device: str, timed: _Timed) -> 'list[Contender]':
    shares = [] if timed.densities is None else parse_densities(timed.densities)
    if timed.sparse_training:
        return benchmark.contenders.moving_contenders(device, plan, shares or _MOVING)
    scores = benchmark.contenders.algorithm_with_scores(timed.algorithm)
    return benchmark.contenders.contenders(device, plan, algorithm=scores, densities=shares, seeds=timed.seeds)


def _study(plan: 'Plan', target: 'RunTarget', turns: int, *, run: bool) -> 'Study':
    """Estimate a whole search, and with `run` also time it."""

    study = benchmark.whole_search.estimate_search(
        plan, target.datasets, target.device, threads=target.threads or 1, turns=turns)
    if not run:
        return study
    with ProgressDisplay(plan, [0]) as display:
        seconds = benchmark.whole_search.time_search(
            plan, target.datasets, target.device, threads=target.threads or 1, reporter=display)
    return replace(study, real_seconds=seconds)


def _study_output(plan: 'Plan', study: 'Study', turns: int) -> 'StudyTimes':
    """The times of a whole search, as they are printed with --json."""

    output = benchmark.json_output
    return output.StudyTimes(
        model=plan.recipe.model.name, dataset=plan.recipe.data.name, batch_size=plan.recipe.training.batch_size,
        turns=turns, rows=list(map(output.StepTime.of, study.rows)), rounds=study.rounds, steps=study.steps,
        baseline_seconds=study.baseline_seconds, expert_seconds=study.expert_seconds,
        estimated_seconds=study.estimated_seconds, real_seconds=study.real_seconds)


def _profile(
        plan: 'Plan', datasets: Path, contenders: 'Sequence[Contender]', threads: int, *, as_json: bool) -> None:
    """Print where the time of a step goes, for each engine that trains one network or stack alone."""

    alone = [contender for contender in contenders if contender.seeds == 1]
    profiles = benchmark.step_profile.profile_contenders(plan, datasets, alone, threads=threads)
    if as_json:
        output = benchmark.json_output
        print_json(output.Profiles(
            model=plan.recipe.model.name, dataset=plan.recipe.data.name, batch_size=plan.recipe.training.batch_size,
            profiles=list(map(output.Profile.of, profiles))))
        return
    for one in profiles:
        print_profile(one)
    print_text(f'Limits of memory and arithmetic: {profiles[0].limits}. outside: the rest of the step, such as Python, '
               'launches, an idle GPU, and the loops of the sparse engine.')


def _bench_masks(plan: 'Plan', turns: int, *, as_json: bool) -> None:
    """Time the selection of masks. This reads no images."""

    rows = benchmark.mask_selection.time_selection(plan, turns=turns)
    if as_json:
        output = benchmark.json_output
        print_json(output.SelectionTimes(
            model=plan.recipe.model.name, turns=turns, rows=list(map(output.SelectionTime.of, rows))))
        return
    print_selection(rows, f'Selecting 80% of the weights of {plan.recipe.model.name}, median of {turns} turns')


def _bench_sweep(
        make_plan: 'Callable[[Changes], Plan]', changed: 'Changes', target: 'RunTarget', *, as_json: bool) -> None:
    """Time a sweep of small runs."""

    plan, time = make_plan(changed), benchmark.sweep_overhead.time_sweep(make_plan, changed, target)
    if as_json:
        print_json(benchmark.json_output.SweepTime(
            model=plan.recipe.model.name, dataset=plan.recipe.data.name, **vars(time)))
        return
    print_text(f'{time.runs} runs of {_pair(plan)}, two rounds of 20 iterations each, in {time.processes} processes: '
               f'the first is complete after {time.first_seconds:.2f} s, which includes the start of the processes, '
               f'each further one takes {time.seconds_per_run:.3f} s.')


def _bench_convolutions(device: str, images: int, turns: int, *, as_json: bool) -> None:
    """Time the convolutions of eight seeds. This reads no images."""

    rows = benchmark.convolutions.time_on_gpu(device, images=images, turns=turns)
    if as_json:
        output = benchmark.json_output
        print_json(output.ConvolutionTimes(
            images=images, turns=turns, rows=list(map(output.ConvolutionTime.of, rows))))
        return
    print_convolutions(
        rows, f'Convolutions of eight seeds with {images} images each, in µs, shortest of {turns} turns')


def _pair(plan: 'Plan') -> str:
    return f'{plan.recipe.model.name} on {plan.recipe.data.name}'
