"""`lth evaluate`: measure a run from its files."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.options import Datasets, Device, Json, Threads, err, explained, out

if TYPE_CHECKING:
    from lth.evaluation import Evaluation
    from lth.runs import Run


@explained
def evaluate(
        run: Annotated[str, typer.Argument(
            metavar='RUN', help='RUN, RUN/seed-S or RUN/seed-S/round-NN; a name below ./runs, or a path.')],
        datasets: Datasets = Path('datasets'),
        *,
        device: Device = 'auto',
        threads: Threads = 1,
        as_json: Json = False,
) -> None:
    """Measure test accuracy afresh from a run's files, and show where its weights are.

    [bold]Examples[/bold]

        lth evaluate lenet-300-100-digits

        lth evaluate runs/lenet-300-100-mnist/seed-0/round-07 ./datasets
    """

    # torch takes 2 s to import, and `--help` must not wait for it.
    from lth import engines, evaluation  # pylint: disable=import-outside-toplevel
    where = evaluation.place(run)
    plan, opened = evaluation.opened(where)
    engine = engines.chosen(device, threads=threads, capturable=plan.capturable,
                            choice=opened.engine() or 'auto', obstacle=plan.obstacle)
    data = plan.read(datasets).to(engine.device)
    seeds = opened.seeds() if where.seed is None else [where.seed]
    found = list(evaluation.evaluations(plan, opened, data, engine, seeds, where.round))
    if as_json:
        print(json.dumps({'run': str(where.folder), 'evaluations': [
            {**one._asdict(), 'layers': [layer._asdict() for layer in one.layers],
             'carrying': [layer._asdict() for layer in one.carrying]} for one in found]}, indent=2))
        return
    _print(opened, found, seeds)


def _print(run: 'Run', found: Sequence['Evaluation'], seeds: Sequence[int]) -> None:
    """Rounds and seeds, then the layers of the last round shown."""

    from lth.cli.tables import percent, simple_table, title  # pylint: disable=import-outside-toplevel # as above
    from lth.statistics import interval  # pylint: disable=import-outside-toplevel # as above
    rows = []
    for number in sorted({one.round for one in found}):
        alike = [one for one in found if one.round == number]
        each = {one.seed: f'{100 * one.test_accuracy:.2f}' for one in alike}
        mean = percent(interval([one.test_accuracy for one in alike]))
        rows.append([str(number), f'{100 * alike[0].density:.2f}', f'{alike[0].kept:,}', mean,
                     *[each.get(seed, '') for seed in seeds if len(seeds) > 1]])
    headings = ['round', 'left %', 'kept', 'test %', *[f'seed {seed}' for seed in seeds if len(seeds) > 1]]
    out.print(simple_table(title(run, seeds), headings, rows))
    last = found[-1]
    carries = {layer.name: [f'{layer.inputs:,} of {layer.of_inputs:,}', f'{layer.units:,} of {layer.of_units:,}']
               for layer in last.carrying}
    headings = ['layer', 'kept', 'of', 'left %', *['inputs that carry', 'units that carry'] * bool(carries)]
    out.print(simple_table(f'Layers of seed {last.seed}, round {last.round}', headings, [
        [layer.name, f'{layer.kept:,}', f'{layer.weights:,}', f'{100 * layer.kept / layer.weights:.2f}',
         *carries.get(layer.name, [])] for layer in last.layers]))
    for one in found:
        if one.test_accuracy != one.recorded:
            err.print(f'Note: seed {one.seed}, round {one.round}: recorded {one.recorded:.2%}, measured '
                      f'{one.test_accuracy:.2%} now; another device or number of threads rounds differently, '
                      'a larger difference means other files, or a recipe.yaml that was edited.',
                      highlight=False, soft_wrap=True)
