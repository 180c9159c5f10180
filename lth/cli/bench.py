"""`lth bench`: how fast, against the usual way."""
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth.cli.options import (
    DatasetName, Datasets, Device, Json, Model, Overrides, Precision, RecipeName, Threads, explained, out)
from lth.cli.planning import plan_of

if TYPE_CHECKING:
    from lth.plan import Plan


@explained
def bench(  # pylint: disable=too-many-arguments # a command has as many as it has flags
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
        masks: Annotated[bool, typer.Option(
            '--masks', help='Time the choice of a mask over all weights instead of a training step.')] = False,
        as_json: Json = False,
) -> None:
    """Time a step: the usual way (DataLoader, PIL transforms, default optimizer, gradient times mask; fp32) and ours.

    All take turns in one run, each in a process of its own, so ratios hold on a busy machine where single times do not.

    [bold]Example[/bold]

        lth bench lenet-300-100 mnist

        lth bench resnet20 cifar10 --algorithm gem-miner

        lth bench resnet50 imagenet --masks
    """

    plan = plan_of(model, dataset, recipe, {'training.precision': precision}, override or [], device)
    if masks:
        _bench_masks(plan, turns, as_json=as_json)
        return
    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.benchmark.contest import contest  # pylint: disable=import-outside-toplevel
    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel
    rows = contest(plan, datasets, device, threads=threads, turns=turns,
                   trained='weights' if algorithm == 'magnitude' else algorithm)
    name, data, batch_size = plan.recipe.model.name, plan.recipe.data.name, plan.recipe.training.batch_size
    if as_json:
        print(json.dumps({'model': name, 'dataset': data, 'batch_size': batch_size, 'turns': turns,
                          'rows': [asdict(row) for row in rows]}, indent=2))
        return
    out.print(simple_table(
        f'{name} on {data}, batch {batch_size}, {threads} thread{"s" if threads > 1 else ""}, median of {turns} turns',
        ['engine', 'density', 'R', 'ms per step', 'spread', 'speed-up', 'peak MiB'],
        [[row.engine, f'{row.density:.0%}', str(row.replicates), f'{row.ms_per_step:.3f}',
          f'± {row.spread:.0%}', f'{row.ratio:.2f}×', f'{row.peak_memory:,.0f}'] for row in rows]))


def _bench_masks(plan: 'Plan', turns: int, *, as_json: bool) -> None:
    """The choice of a mask, which reads no pictures."""

    from lth.benchmark.selection import selection  # pylint: disable=import-outside-toplevel # as above
    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel # as above
    rows = selection(plan, turns=turns)
    if as_json:
        print(json.dumps({'model': plan.recipe.model.name, 'turns': turns, 'rows': [row._asdict() for row in rows]},
                         indent=2))
        return
    out.print(simple_table(
        f'Keeping 80% of the weights of {plan.recipe.model.name}, median of {turns} turns',
        ['scores', 'weights', 'seconds', 'extra MiB'],
        [[row.scores, f'{row.weights:,}', f'{row.seconds:.3f}',
          'unknown' if row.extra_memory is None else f'{row.extra_memory:,.0f}'] for row in rows]))
