"""`lth bench`: how fast, against the usual way."""
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lth.cli.options import DatasetName, Datasets, Device, Json, Model, Overrides, RecipeName, Threads, explained, out
from lth.cli.planning import plan_of


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
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
) -> None:
    """Time a step: the usual way (DataLoader, PIL transforms, default optimizer, gradient times mask) against ours.

    All take turns in one run, each in a process of its own, so ratios hold on a busy machine where single times do not.

    [bold]Example[/bold]

        lth bench lenet-300-100 mnist
    """

    plan = plan_of(model, dataset, recipe, {}, override or [])
    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth.benchmark.contest import contest  # pylint: disable=import-outside-toplevel
    from lth.cli.tables import simple_table  # pylint: disable=import-outside-toplevel
    rows = contest(plan, datasets, device, threads=threads, turns=turns)
    name, data, batch_size = plan.recipe.model.name, plan.recipe.data.name, plan.recipe.training.batch_size
    if as_json:
        print(json.dumps({'model': name, 'dataset': data, 'batch_size': batch_size, 'turns': turns,
                          'rows': [asdict(row) for row in rows]}, indent=2))
        return
    out.print(simple_table(
        f'{name} on {data}, batch {batch_size}, median of {turns} turns',
        ['engine', 'density', 'R', 'threads', 'ms per step', 'spread', 'speed-up', 'peak MiB'],
        [[row.engine, f'{row.density:.0%}', str(row.replicates), str(row.threads), f'{row.ms_per_step:.3f}',
          f'± {row.spread:.0%}', f'{row.ratio:.2f}×', f'{row.peak_memory:,.0f}'] for row in rows]))
