"""`lth evaluate --on`: tables of the accuracy on corrupted images, or on the test images of another data set."""
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lth import analysis, experiments
from lth.cli.arguments import parse_numbers
from lth.cli.console import print_json
from lth.cli.run_table import run_caption
from lth.cli.tables import percent, print_table
from lth.runs.run_path import RunPath

if TYPE_CHECKING:
    from lth.analysis.other_data import Network, OtherDataReport


def report_other_data(  # pylint: disable=too-many-arguments,too-many-positional-arguments # options of the command
        path: RunPath, data: str, datasets: Path, rounds: str | None, device: str, threads: int, *, as_json: bool,
) -> None:
    """Measure the networks at the path on other images, and print the tables or JSON."""

    numbers = None if rounds is None else parse_numbers(rounds, '--rounds')
    target = experiments.run_target.RunTarget(path.folder, datasets, device, threads, compile='off')
    report = analysis.other_data.evaluate_on(path, data, target, rounds=numbers)
    if as_json:
        print_json(analysis.json_output.other_data.OtherDataReport.of(report))
        return
    _print_rounds(report)
    if report.corruptions:
        _print_corruptions(report, report.rounds[-1])


def _print_rounds(report: 'OtherDataReport') -> None:
    """Print one row per round: the accuracy on the run's own test images and on the others."""

    columns: dict[str, Callable[[Network], str]] = {
        'round': lambda one: str(one.source_round),
        'density %': lambda one: f'{100 * one.density:.2f}',
        'test %': lambda one: percent(report.own(one.round)),
        f'{report.data} %': lambda one: percent(report.mean(one.round))}
    if report.corruptions:
        severities = sorted({part.severity for part in report.parts})
        columns |= {f'severity {severity}': partial(_severity, report, severity) for severity in severities}
    print_table(run_caption(report.run, report.seeds), columns, report.rounds)


def _print_corruptions(report: 'OtherDataReport', shown: 'Network') -> None:
    """Print one row per corruption, for one round."""

    columns: dict[str, Callable[[str], str]] = {
        'corruption': lambda name: name + ('' if _in_mean(report, name) else ' (not in the mean)'),
        'mean %': lambda name: percent(report.mean(shown.round, name))}
    severities = sorted({part.severity for part in report.parts})
    columns |= {f'severity {severity}': partial(_cell, report, shown.round, severity) for severity in severities}
    print_table(f'{report.data}, round {shown.source_round}', columns, report.corruptions)


def _severity(report: 'OtherDataReport', severity: int, shown: 'Network') -> str:
    return percent(report.mean(shown.round, severity=severity))


def _cell(report: 'OtherDataReport', number: int, severity: int, corruption: str) -> str:
    return percent(report.mean(number, corruption, severity))


def _in_mean(report: 'OtherDataReport', corruption: str) -> bool:
    return any(part.counts for part in report.parts if part.corruption == corruption)
