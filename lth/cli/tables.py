"""Tables and JSON of runs, the same for every command that shows one."""
import io
import json
import statistics
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lth.algorithms import ALGORITHMS
from lth.cli.options import out
from lth.reports import rounds
from lth.runs import Run
from lth.statistics import Interval


def simple_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is left-aligned, all others right."""

    table = Table(title=caption, title_justify='left', title_style='bold', box=box.SIMPLE_HEAD, pad_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify='right' if position else 'left', overflow='fold')
    for row in rows:
        table.add_row(*row)
    return table


def commented(table: Table) -> str:
    """A table as lines of YAML comments."""

    text = io.StringIO()
    Console(width=100, file=text).print(table)
    return ''.join(f'# {line}'.rstrip() + '\n' for line in text.getvalue().splitlines())


def print_run(run: Run, seeds: Sequence[int], *, as_json: bool) -> None:
    """The final table of a run over these seeds, and where it lies."""

    if as_json:
        print(json.dumps(run_object(run, seeds), indent=2))
        return
    rows = rounds.table(run, seeds)
    headings, legend = ['round', 'left %', 'kept'], 'left: share of all weights.'
    trained = ALGORITHMS.find(run.recipe['algorithm']['name']).finds != 'gems'
    carries = trained and any(one.carrying for row in rows for one in row.outcomes)
    headings += [*['inputs', 'units'] * carries, 'test %', *['early stop', 'test % there'] * trained]
    if trained:
        legend += ' early stop: the iteration of least validation loss, found afterwards.'
    else:
        legend += ' test: of the untrained weights in force, in the last round of the gem itself.'
    legend += ' inputs, units: those that still carry anything to the output.' * carries
    out.print(simple_table(title(run, seeds), headings, [
        [str(row.number), f'{100 * row.density:.2f}', f'{row.kept:,}', *_carrying(row) * carries,
         percent(row.test_accuracy), *[count(row.early_stop), percent(row.early_stop_accuracy)] * trained]
        for row in rows]))
    out.print(legend, highlight=False)
    out.print(f'Run folder: {run.folder}', highlight=False, soft_wrap=True)


def title(run: Run, seeds: Sequence[int]) -> str:
    """What a table is about, and what its ± means."""

    about = f'{run.recipe["model"]["name"]} on {run.recipe["data"]["name"]}'
    if len(seeds) > 1:
        return f'{about}, mean ± 95% interval over {len(seeds)} seeds'
    return f'{about}, seed {seeds[0]} (one seed: no interval)'


def run_object(run: Run, seeds: Sequence[int]) -> dict[str, Any]:
    """The same table for programs; accuracies and densities are shares."""

    return {
        'run': str(run.folder), 'model': run.recipe['model']['name'], 'dataset': run.recipe['data']['name'],
        'seeds': list(seeds), 'rounds': [_row_object(row) for row in rounds.table(run, seeds)]}


def percent(value: Interval) -> str:
    """An accuracy in percent, with its margin in points if there is one."""

    return f'{100 * value.mean:.2f}' + ('' if value.margin is None else f' ± {100 * value.margin:.2f}')


def count(value: Interval) -> str:
    """A mean count with its margin."""

    return f'{value.mean:,.0f}' + ('' if value.margin is None else f' ± {value.margin:,.0f}')


def _carrying(row: rounds.Row) -> list[str]:
    """Inputs and units that carry anything, means over the seeds; nothing where it is not known of all."""

    found = [one.carrying for one in row.outcomes if one.carrying]
    if len(found) < len(row.outcomes):
        return ['', '']
    return [f'{statistics.mean(counts):,.0f}' for counts in zip(*((one.inputs, one.units) for one in found))]


def _row_object(row: rounds.Row) -> dict[str, Any]:
    return {
        'round': row.number, 'kept': row.kept, 'density': row.density, 'test_accuracy': row.test_accuracy._asdict(),
        'early_stop': row.early_stop._asdict(), 'early_stop_accuracy': row.early_stop_accuracy._asdict(),
        'seeds': [outcome._asdict() | {'carrying': outcome.carrying and outcome.carrying._asdict()}
                  for outcome in row.outcomes]}
