"""`lth bench`: how fast, against the usual way."""
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth import experiments
from lth.cli.arguments import changes
from lth.cli.options import (
    DatasetName, Datasets, Device, Json, Model, Overrides, Precision, RecipeName, Threads, command, out)
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.benchmark.timing import Row
    from lth.experiments.plan import Plan


@command
def bench(  # pylint: disable=too-many-arguments,too-many-locals # a command has as many as it has flags
        model: Model,
        dataset: DatasetName,
        datasets: Datasets = Path('datasets'),
        *,
        recipe: RecipeName = None,
        override: Overrides = None,
        turns: Annotated[int, typer.Option(
            min=1, help='How often each contender takes its turn of about a second.')] = 9,
        precision: Precision = None,
        device: Device = 'auto',
        threads: Threads = 1,
        algorithm: Annotated[Literal['magnitude', 'gem-miner', 'edge-popup'], typer.Option(
            help='What is trained: weights; or besides them scores, as Gem-Miner or edge-popup do.')] = 'magnitude',
        densities: Annotated[str | None, typer.Option(
            metavar='SHARES', show_default=False,
            help='Time steps on random tickets that keep these shares of the weights: 1,0.51,0.21.')] = None,
        seeds: Annotated[int, typer.Option(
            min=1, metavar='N', help='Train so many seeds at once too, as processes and as threads.')] = 1,
        study: Annotated[bool, typer.Option(
            '--study', help='Estimate a whole search of one seed: all steps of all rounds.')] = False,
        run: Annotated[bool, typer.Option(
            '--run', help='With --study: do the whole search too, and time it; nothing is kept.')] = False,
        masks: Annotated[bool, typer.Option(
            '--masks', help='Time the choice of a mask over all weights instead of a training step.')] = False,
        as_json: Json = False,
) -> None:
    """Time a step: the usual way (DataLoader, PIL transforms, default optimizer, gradient times mask; fp32) and ours.

    All take turns in one run, each in a process of its own, so ratios hold on a busy machine where single times do not.

    [bold]Example[/bold]

        lth bench lenet-300-100 mnist

        lth bench lenet-300-100 mnist --densities 1,0.51,0.21,0.107,0.055,0.0115

        lth bench lenet-300-100 mnist --densities 1,0.21,0.055 --seeds 2

        lth bench lenet-300-100 mnist --study --run

        lth bench resnet20 cifar10 --algorithm gem-miner

        lth bench resnet50 imagenet --masks
    """

    plan = experiments.resolve.ticket_plan(
        model, dataset, changes({'training.precision': precision}, override), recipe=recipe, device=device)
    if masks:
        _bench_masks(plan, turns, as_json=as_json)
        return
    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.benchmark.timing import contenders, time_contenders  # pylint: disable=import-outside-toplevel
    if study or run:
        _bench_study(plan, datasets, device, threads, turns, really=run, as_json=as_json)
        return
    shares = parsed_densities(densities) if densities else []
    entrants = contenders(
        device, plan, trained='weights' if algorithm == 'magnitude' else algorithm, densities=shares,
        seeds=seeds)
    rows = time_contenders(plan, datasets, entrants, threads=threads, turns=turns)
    name, data, batch_size = plan.recipe.model.name, plan.recipe.data.name, plan.recipe.training.batch_size
    if as_json:
        print(json.dumps({'model': name, 'dataset': data, 'batch_size': batch_size, 'turns': turns,
                          'rows': [asdict(row) for row in rows]}, indent=2))
        return
    spread = f'{threads} thread{"s" if threads > 1 else ""}, median of {turns} turns'
    _print_rows(rows, f'{name} on {data}, batch {batch_size}, {spread}')


def _print_rows(rows: 'Sequence[Row]', caption: str) -> None:
    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel # as above
    ratios: dict[str, list[float | None]] = {
        'speed-up': [row.ratio for row in rows], 'over eager': [row.over_eager for row in rows],
        'over one seed': [row.over_one for row in rows]}
    shown = {heading: column for heading, column in ratios.items() if any(column)}
    headings = ['engine', 'density', 'R', 'ms per step', 'spread', *shown, 'peak MiB']
    out.print(simple_table(caption, headings, [
        [row.engine, f'{100 * row.density:.4g}%', str(row.replicates), f'{row.ms_per_step:.3f}', f'± {row.spread:.0%}',
         *['' if column[place] is None else f'{column[place]:.2f}×' for column in shown.values()],
         f'{row.peak_memory:,.0f}'] for place, row in enumerate(rows)]))


def parsed_densities(text: str) -> list[float]:
    """Shares such as 1,0.51,0.21; an LthError for what is none."""

    try:
        shares = [float(part) for part in text.split(',')]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise LthError(f'--densities: cannot read {text!r}: write shares above 0, at most 1, such as 1,0.51,0.055.')
    return shares


def _bench_study(
        plan: 'Plan', datasets: Path, device: str, threads: int, turns: int, *, really: bool, as_json: bool) -> None:
    """A whole search of one seed against the usual way."""

    from lth.benchmark import whole_search  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.progress import ProgressDisplay, duration  # pylint: disable=import-outside-toplevel # as above
    found = whole_search.estimate_search(plan, datasets, device, threads=threads, turns=turns)
    if really:
        with ProgressDisplay(plan, [0]) as display:
            seconds = whole_search.time_search(
                plan, datasets, device, threads=threads, reporter=display)
        found = replace(found, real_seconds=seconds)
    if as_json:
        names = {'model': plan.recipe.model.name, 'dataset': plan.recipe.data.name}
        print(json.dumps(names | asdict(found), indent=2))
        return
    _print_rows(found.rows, f'{plan.recipe.model.name} on {plan.recipe.data.name}, median of {turns} turns')
    out.print(f'{found.rounds} rounds, {found.steps:,} steps: the usual way {duration(found.usual_seconds)}, estimated '
              f'from its step; ours {duration(found.estimated_seconds)}, estimated without measurements.',
              highlight=False)
    if found.real_seconds:
        out.print(f'Really, with measurements and files: {duration(found.real_seconds)}, '
                  f'{found.usual_seconds / found.real_seconds:.1f} times as fast as the usual way.', highlight=False)


def _bench_masks(plan: 'Plan', turns: int, *, as_json: bool) -> None:
    """The choice of a mask, which reads no pictures."""

    from lth.benchmark.mask_selection import time_selection  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel # as above
    rows = time_selection(plan, turns=turns)
    if as_json:
        print(json.dumps({'model': plan.recipe.model.name, 'turns': turns, 'rows': [row._asdict() for row in rows]},
                         indent=2))
        return
    out.print(simple_table(
        f'Keeping 80% of the weights of {plan.recipe.model.name}, median of {turns} turns',
        ['scores', 'weights', 'seconds', 'extra MiB'],
        [[row.scores, f'{row.weights:,}', f'{row.seconds:.3f}',
          'unknown' if row.extra_memory is None else f'{row.extra_memory:,.0f}'] for row in rows]))
