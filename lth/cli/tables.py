"""Tables and JSON of runs, the same for every command that shows one."""
import io
import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from lth.algorithms import ALGORITHMS
from lth.analysis import summary_table
from lth.analysis.statistics import Interval, confidence_interval
from lth.cli.options import out
from lth.recipes.schema import AlgorithmSettings
from lth.runs.folder import Run


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


def print_run(
        run: Run, seeds: Sequence[int], controls: Mapping[str, Sequence[Run]] | None = None, *, as_json: bool) -> None:
    """The final table of a run over these seeds, its controls, one or more draws of each, in rows below each round, and
    where it lies.
    """

    rows = summary_table.summary_rows([run], seeds)
    beside = {name: _own_rows(control, seeds) for name, control in (controls or {}).items()}
    if as_json:
        found = {name: [summary_table.as_dict(row) for row in others.values()] for name, others in beside.items()}
        print(json.dumps(run_object(run, seeds) | ({'controls': found} if found else {}), indent=2))
        return
    trained = _settings(run).finds != 'gems'
    # Beside controls the table has no room for them.
    carries = trained and not controls and any(one.connected for row in rows for one in row.results)
    cells = []
    for row in rows:
        cells.append([str(row.number), *_cells(row, carries=carries, trained=trained)])
        cells += [[f'{row.number} {name}', *_cells(others[row.number], carries=carries, trained=trained)]
                  for name, others in beside.items() if row.number in others]
    out.print(simple_table(title(run, seeds), [
        'round', 'left %', 'kept', *['inputs', 'units'] * carries, 'test %',
        *['early stop', 'test % there'] * trained], cells))
    out.print(_legend(carries=carries, trained=trained), highlight=False)
    if drawn := [one.drawn_test_accuracy for one in rows[-1].results if one.drawn_test_accuracy is not None]:
        out.print(f'Masks drawn from the scores, mean of {_settings(run).sampled_masks} for each seed: test % {percent(confidence_interval(drawn))}',
                  highlight=False)
    if (draws := max(map(len, (controls or {}).values()), default=1)) > 1:
        out.print(f'Controls: each seed counts by its mean over {draws} draws.', highlight=False)
    for one in itertools.chain([run], *(controls or {}).values()):
        out.print(f'Run folder: {one.folder}', highlight=False, soft_wrap=True)


def _settings(run: Run) -> type[AlgorithmSettings]:
    return ALGORITHMS.find(run.recipe['algorithm']['name']).settings


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
        'seeds': list(seeds), 'rounds': [summary_table.as_dict(row) for row in summary_table.summary_rows([run], seeds)]}


def percent(value: Interval) -> str:
    """An accuracy in percent, with its margin in points if there is one."""

    return f'{100 * value.mean:.2f}' + ('' if value.margin is None else f' ± {100 * value.margin:.2f}')


def count(value: Interval) -> str:
    """A mean count with its margin."""

    return f'{value.mean:,.0f}' + ('' if value.margin is None else f' ± {value.margin:,.0f}')


def _legend(*, carries: bool, trained: bool) -> str:
    """What the headings of a run's table mean."""

    told = 'left: share of all weights.'
    told += (' early stop: the iteration of least validation loss, found afterwards.' if trained else
             ' test: of the untrained weights in force, in the last round of the gem itself.')
    carried = ' inputs, units: those that still carry anything to the output, of inputs those that pictures light.'
    return told + carried * carries


def _carrying(row: summary_table.RoundSummary) -> list[str]:
    """Inputs and units that carry anything, means over the seeds; nothing where it is not known of all."""

    found = [one.connected for one in row.results if one.connected]
    if len(found) < len(row.results):
        return ['', '']
    return [f'{statistics.mean(counts):,.0f}' for counts in zip(*((one.inputs, one.units) for one in found))]


def _own_rows(draws: Sequence[Run], seeds: Sequence[int]) -> dict[int, summary_table.RoundSummary]:
    """The rows of a control by round; round 0 of one beside a search is the dense network, which is there already."""

    dense = _settings(draws[0]).copies_dense_round
    return {row.number: row for row in summary_table.summary_rows(draws, seeds)[1 if dense else 0:]}


def number(value: Interval) -> str:
    """Any other mean with its margin, to three digits."""

    return f'{value.mean:.3g}' + ('' if value.margin is None else f' ± {value.margin:.2g}')


def _cells(row: summary_table.RoundSummary, *, carries: bool, trained: bool) -> list[str]:
    return [f'{100 * row.density:.2f}', f'{row.kept:,}', *_carrying(row) * carries, percent(row.test_accuracy),
            *[count(row.early_stop), percent(row.early_stop_accuracy)] * trained]
