"""`lth evaluate`: measure the test accuracy of a run again, from its files."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth import analysis
from lth.cli.answers import print_answers
from lth.cli.command import command
from lth.cli.console import print_json, print_note, print_text
from lth.cli.data_dir import accepts_data_dir
from lth.cli.option_rules import Excludes, Needs, option_rules
from lth.cli.options import Datasets, Device, Json, Margin, SourceRun, Threads
from lth.cli.other_data import report_other_data
from lth.cli.run_table import print_collapse, run_caption
from lth.cli.tables import percent, print_table
from lth.cli.trust_code import accepts_trust_code
from lth.registry import trust
from lth.runs.run_path import parse_run_path

if TYPE_CHECKING:
    from lth.analysis.evaluation import Evaluation, EvaluationReport, LayerDensity, ScoreSummary
    from lth.pruning.effective_sparsity import ConnectedLayer


@command
@accepts_data_dir
@accepts_trust_code
@option_rules(Excludes('--on', ['--margin']), Needs('--rounds', '--on'))
def evaluate(
        run: SourceRun,
        datasets: Datasets = Path('datasets'),
        *,
        on: Annotated[str | None, typer.Option(
            '--on', metavar='DATASET', callback=trust.add, show_default=False,
            help='Measure the trained networks on other images instead: on the corrupted images cifar10-c or '
                 'cifar100-c, or on the test images of any data set with the same shape and classes.')] = None,
        rounds: Annotated[str | None, typer.Option(
            '--rounds', metavar='ROUNDS', show_default=False,
            help='Rounds to measure with --on, such as 0,5-7. Default: all rounds.')] = None,
        device: Device = 'auto',
        threads: Threads = 1,
        margin: Margin = 0.2,
        as_json: Json = False,
) -> None:
    """Measure the test accuracy of a run again from its files, and show how many weights each layer keeps.

    If the last round was finetuned, the runs that finetuned it, such as RUN-finetuned-round-NN, are measured as well.
    Below the tables is what the recorded accuracies of the run say, unless RUN names a single round.

    With --on cifar10-c (or cifar100-c), the accuracy for each corruption and severity is measured, and its mean over
    the 15 standard corruptions (Hendrycks & Dietterich 2019).

    [bold]Examples[/bold]

        lth evaluate lenet-300-100-digits

        lth evaluate runs/lenet-300-100-mnist/seed-0/round-07 ./datasets

        lth evaluate resnet20-cifar10 ./datasets --on cifar10-c --rounds 0,7
    """

    path = parse_run_path(run)
    if on is not None:
        report_other_data(path, on, datasets, rounds, device, threads, as_json=as_json)
        return
    report = analysis.evaluation.evaluate(path, datasets, device=device, threads=threads, margin=margin / 100)
    for note in report.notes:
        print_note(note)
    if as_json:
        print_json(analysis.json_output.evaluations.EvaluationReport.of(report))
        return
    _print_accuracies(report)
    _print_layers(report.evaluations[-1])
    _print_operations(report)
    _print_scores(report.evaluations)
    print_collapse(report.run, report.seeds, {one.round for one in report.evaluations})
    _print_finetuned(report)
    print_answers(report.answers)
    for evaluation in report.evaluations:
        _note_difference(evaluation)


def _print_accuracies(report: 'EvaluationReport') -> None:
    """Print one row per round, with a column for each of several seeds."""

    rounds: dict[int, dict[int, Evaluation]] = {}
    for evaluation in report.evaluations:
        rounds.setdefault(evaluation.round, {})[evaluation.seed] = evaluation
    columns: dict[str, Callable[[tuple[int, dict[int, Evaluation]]], str]] = {
        'round': lambda row: str(_any(row[1]).source_round),
        'density %': lambda row: f'{100 * _any(row[1]).density:.2f}',
        'kept': lambda row: f'{_any(row[1]).kept:,}',
        'test %': lambda row: _mean_percent([one.test_accuracy for one in row[1].values()])}
    if len(report.seeds) > 1:
        columns |= {f'seed {seed}': partial(_seed_percent, seed) for seed in report.seeds}
    print_table(run_caption(report.run, report.seeds), columns, sorted(rounds.items()))


def _print_layers(evaluation: 'Evaluation') -> None:
    """Print one row per layer. What is connected is known for chains of layers only."""

    columns: dict[str, Callable[[LayerDensity], str]] = {
        'layer': lambda layer: layer.name,
        'kept': lambda layer: f'{layer.kept:,}',
        'of': lambda layer: f'{layer.weights:,}',
        'density %': lambda layer: f'{100 * layer.kept / layer.weights:.2f}'}
    if evaluation.scores:
        columns['above threshold'] = lambda layer: _count(layer.above_threshold)
    if evaluation.operations:
        columns['multiply-adds'] = lambda layer: _count(layer.multiply_adds)
    connected = {layer.name: layer for layer in evaluation.connected}
    if connected:
        columns['connected inputs'] = lambda layer: _part(connected, layer.name, 'inputs')
        columns['connected units'] = lambda layer: _part(connected, layer.name, 'units')
    print_table(f'Layers of seed {evaluation.seed}, round {evaluation.source_round}', columns, evaluation.layers)


def _print_operations(report: 'EvaluationReport') -> None:
    """Print the multiply-adds of the last round for an image, and those of the training."""

    operations = report.evaluations[-1].operations
    if operations is None:
        print_text('Multiply-adds: unknown, as the model multiplies weights in other ways than layers of torch do.')
        return
    training = f' Training of a seed: {report.training.mean:.3g}.' if report.training else ''
    print_text(f'Multiply-adds for an image: {operations.surviving:,} with the kept weights, {operations.dense:,} with '
               f'all ({operations.surviving / operations.dense:.2%}).{training}')


def _print_scores(evaluations: Sequence['Evaluation']) -> None:
    """Print the distribution of trained scores in each round of the last seed."""

    seed = evaluations[-1].seed
    rows = [(one.round, one.scores) for one in evaluations if one.seed == seed and one.scores]
    if not rows:
        return
    columns: dict[str, Callable[[tuple[int, ScoreSummary]], str]] = {
        'round': lambda row: str(row[0]),
        'active': lambda row: f'{row[1].active:,}',
        'above threshold': lambda row: f'{row[1].above_threshold:,}',
        'minimum': lambda row: f'{row[1].least:.3g}',
        '25%': lambda row: f'{row[1].lower:.3g}',
        'median': lambda row: f'{row[1].median:.3g}',
        '75%': lambda row: f'{row[1].upper:.3g}',
        'maximum': lambda row: f'{row[1].largest:.3g}',
        'equal to 0': lambda row: f'{row[1].zeros:,}'}
    optional: dict[str, Callable[[tuple[int, ScoreSummary]], str]] = {
        'test % of sampled masks': lambda row: '' if row[1].drawn is None else f'{100 * row[1].drawn:.2f}',
        'selected': lambda row: _count(row[1].selected),
        'penalty': lambda row: '' if row[1].penalty is None else f'{row[1].penalty:.3g}'}
    columns |= {heading: cell for heading, cell in optional.items() if any(map(cell, rows))}
    print_table(f'Scores of seed {seed} that are active (not frozen at 0)', columns, rows)


def _print_finetuned(report: 'EvaluationReport') -> None:
    """Print the accuracy of the last round before and after finetuning."""

    last = report.evaluations[-1].round
    before = {one.seed: one.test_accuracy for one in report.evaluations if one.round == last}
    rows = [(folder, [before[one.seed] for one in trained], [one.test_accuracy for one in trained])
            for folder, trained in report.finetuned.items() if trained]
    if rows:
        print_table(f'Round {last} before and after finetuning', {
            'run': lambda row: str(row[0]),
            'before, test %': lambda row: _mean_percent(row[1]),
            'after, test %': lambda row: _mean_percent(row[2]),
            'gain': lambda row: percent(analysis.statistics.compare_paired(row[2], row[1]).difference)}, rows)


def _note_difference(evaluation: 'Evaluation') -> None:
    """Print a note if the accuracy differs from the recorded one."""

    if evaluation.test_accuracy != evaluation.recorded:
        print_note(f'seed {evaluation.seed}, round {evaluation.source_round}: the recorded test accuracy is '
                   f'{evaluation.recorded:.2%}, now it is {evaluation.test_accuracy:.2%}. Another device or another '
                   'number of threads rounds differently. A larger difference means that files or recipe.yaml have '
                   'changed')


def _any(evaluations: Mapping[int, 'Evaluation']) -> 'Evaluation':
    return next(iter(evaluations.values()))


def _mean_percent(accuracies: Sequence[float]) -> str:
    return percent(analysis.statistics.confidence_interval(accuracies))


def _seed_percent(seed: int, row: tuple[int, Mapping[int, 'Evaluation']]) -> str:
    return f'{100 * row[1][seed].test_accuracy:.2f}' if seed in row[1] else ''


def _count(number: int | None) -> str:
    return '' if number is None else f'{number:,}'


def _part(connected: Mapping[str, 'ConnectedLayer'], name: str, part: str) -> str:
    """The number of connected inputs or units of a layer, and their total."""

    if name not in connected:
        return ''
    return f'{getattr(connected[name], part):,} of {getattr(connected[name], f"total_{part}"):,}'
