"""`lth compare`: runs side by side, paired by seed."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from lth import analysis
from lth.cli.command import command
from lth.cli.console import out, print_text
from lth.cli.options import Json
from lth.cli.progress import duration
from lth.cli.several_runs import RunNames, print_result
from lth.cli.tables import count, fits, percent, print_table
from lth.cli.trust_code import accepts_trust_code
from lth.runs.run_path import parse_run_paths

if TYPE_CHECKING:
    from lth.analysis.comparison import ComparedLevel, ComparedRun, RoundDifference, RunComparison, SettingDifference
    from lth.analysis.statistics import Comparison
    from lth.analysis.summary_table import RoundSummary

At = Literal['end', 'early-stop']
Row = TypeVar('Row')


@command
@accepts_trust_code
def compare(
        runs: RunNames,
        *,
        at: Annotated[At, typer.Option(
            '--at', help='Which test accuracy is compared: at the end of training, or at the early stop.')] = 'end',
        as_json: Json = False) -> None:
    """Compare runs with the first: their test accuracy at equal densities, settings that differ, and their cost.

    Rounds are compared if their densities differ by less than 5%. Differences are paired by seed where both runs have
    the seed; their intervals have 95% confidence.

    [bold]Examples[/bold]

        lth compare lenet-300-100-mnist runs/lenet-300-100-mnist-controls/reinit

        lth compare one-shot iterative rewind-500 --at early-stop
    """

    paths = parse_run_paths(runs)  # before the import of torch
    compared = analysis.comparison.compare_runs(paths)
    output = analysis.json_output.comparisons.RunComparison
    print_result(compared.notes, lambda: output.of(compared), lambda: _print_comparison(compared, at), as_json=as_json)


def _print_comparison(compared: 'RunComparison', at: At) -> None:
    _print_runs(compared.runs)
    _print_levels(compared, at)
    _print_settings(compared)


def _print_runs(runs: Sequence['ComparedRun']) -> None:
    print_table('Runs', {
        'run': lambda one: one.label,
        'model': lambda one: str(one.run.recipe['model']['name']),
        'algorithm': lambda one: str(one.run.recipe['algorithm']['name']),
        'seeds': lambda one: str(len(one.seeds)),
        'rounds': lambda one: str(len(one.rows)),
        'multiply-adds': lambda one: '' if one.training is None else f'{one.training:.3g}',
        'time': lambda one: duration(one.seconds)}, runs)
    print_text('multiply-adds: of the training of one seed. time: of all sessions that trained.')


def _print_levels(compared: 'RunComparison', at: At) -> None:
    where = 'at the end of training' if at == 'end' else 'at the early stop'
    caption, columns = f'Test accuracy in percent {where}, mean ± 95% interval over seeds', _columns(compared, at)
    if fits(columns, compared.levels, out.width):
        print_table(caption, columns, compared.levels)
    else:
        _print_rows_of_runs(caption, compared, at)
    first, *others = compared.runs
    if any(one.seeds != first.seeds for one in others):
        print_text('Differences are over the seeds that both runs have.')
    if any(one and not one.paired for level in compared.levels for one in level.differences):
        print_text('* Not paired: the runs have no seed in common.')
    if at == 'early-stop':
        _print_stops(compared)


def _columns(compared: 'RunComparison', at: At) -> dict[str, Callable[['ComparedLevel'], str]]:
    """The accuracy of each run, and the difference of each but the first with its p."""

    first, *others = compared.runs
    columns: dict[str, Callable[[ComparedLevel], str]] = {'density %': lambda level: f'{100 * level.density:.2f}'}
    for number, one in enumerate(compared.runs):
        columns[one.label] = partial(_accuracy, number, at)
    for number, one in enumerate(others):
        columns[f'{one.label} − {first.label}'] = partial(_difference, number, at)
        columns[f'p{number + 1 if len(others) > 1 else ""}'] = partial(_p_value, number, at)
    return columns


def _print_rows_of_runs(caption: str, compared: 'RunComparison', at: At) -> None:
    """Print a row for each of many runs, such as those of a sweep, and then one for its differences to the first."""

    first, *others = compared.runs
    names = {f'at {100 * level.density:.2f}%': level for level in compared.levels}
    accuracies: dict[str, Callable[[int], str]] = {'run': lambda number: compared.runs[number].label}
    differences: dict[str, Callable[[int], str]] = {'run': lambda number: others[number].label}
    for name, level in names.items():
        accuracies[name] = partial(_accuracy, at=at, level=level)
        differences[name] = partial(_difference_with_p, at=at, level=level)
    print_table(caption, accuracies, range(len(compared.runs)))
    print_table(f'Difference to {first.label}', differences, range(len(others)))


def _difference_with_p(number: int, at: At, level: 'ComparedLevel') -> str:
    p = _p_value(number, at, level)
    return _difference(number, at, level) + (p and f' (p={p})')


def _print_stops(compared: 'RunComparison') -> None:
    names = {f'{100 * level.density:.2f}': level for level in compared.levels}
    _print_values('Iteration of the early stop', compared, 'density %', names, _stop, 'at {}%')


def _print_settings(compared: 'RunComparison') -> None:
    if not compared.settings:
        print_text('All settings are the same.')
        return
    names = {row.name: row for row in compared.settings}
    _print_values('Settings that differ', compared, 'setting', names, _setting, '{}')


def _print_values(
        caption: str, compared: 'RunComparison', heading: str, rows: Mapping[str, Row],
        cell: Callable[[int, Row], str], column: str) -> None:
    """Print a table with a column for each run; if it does not fit, one with a row for each run. `column` makes the
    heading of a column from the name of a row.
    """

    labels = [one.label for one in compared.runs]
    columns: dict[str, Callable[[str], str]] = {heading: str}
    for number, label in enumerate(labels):
        columns[label] = partial(_named_cell, number, cell, rows)
    if fits(columns, rows, out.width):
        print_table(caption, columns, rows)
        return
    by_run: dict[str, Callable[[int], str]] = {'run': lambda number: labels[number]}
    for name, row in rows.items():
        by_run[column.format(name)] = partial(_cell_of_run, cell, row)
    print_table(caption, by_run, range(len(labels)))


def _named_cell(number: int, cell: Callable[[int, Row], str], rows: Mapping[str, Row], name: str) -> str:
    return cell(number, rows[name])


def _cell_of_run(cell: Callable[[int, Row], str], row: Row, number: int) -> str:
    return cell(number, row)


def _accuracy(number: int, at: At, level: 'ComparedLevel') -> str:
    row: RoundSummary | None = level.rounds[number]
    if row is None:
        return ''
    return percent(row.test_accuracy if at == 'end' else row.early_stop_accuracy)


def _stop(number: int, level: 'ComparedLevel') -> str:
    row = level.rounds[number]
    return '' if row is None else count(row.early_stop)


def _difference(number: int, at: At, level: 'ComparedLevel') -> str:
    found = level.differences[number]
    if found is None:
        return ''
    difference = _comparison(found, at).difference
    return f'{"+" * (difference.mean > 0)}{percent(difference)}{"" if found.paired else " *"}'


def _p_value(number: int, at: At, level: 'ComparedLevel') -> str:
    found = level.differences[number]
    p = None if found is None else _comparison(found, at).p
    return '' if p is None else f'{p:.2g}'


def _comparison(difference: 'RoundDifference', at: At) -> 'Comparison':
    return difference.test_accuracy if at == 'end' else difference.early_stop_accuracy


def _setting(number: int, row: 'SettingDifference') -> str:
    value = row.values[number]
    return '' if value is None else str(value)
