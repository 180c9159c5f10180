"""The figures of runs: which points they have, compared with the files of the runs."""
import math
from pathlib import Path

import pytest
from scipy import stats

import lth as package
from lth.analysis.plotting.figure_set import figure_set
from lth.analysis.plotting.series import FigureData, Point
from lth.analysis.run_results import RunResults
from lth.runs.run_path import parse_run_path

MODEL = 'lenet-300-100'


@pytest.fixture(scope='module', name='ticket')
def _ticket(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """A search with two seeds, three rounds and a control in two draws."""

    folder = tmp_path_factory.mktemp('figures') / 'ticket'
    return package.find_ticket(MODEL, 'digits', rounds=2, epochs=2, seeds=(0, 1), run=folder, controls=['reinit'],
                               control_draws=2)


def figure(name: str, *folders: Path, rounds: list[int] | None = None) -> FigureData:
    """The figure with this name of the runs in these folders."""

    (found,) = figure_set([parse_run_path(str(folder)) for folder in folders], [name], rounds=rounds).contents
    return found


def interval_point(x: float, values: list[float]) -> Point:
    """Mean and 95% interval of two values in percent, by the formula of Student's t distribution."""

    mean, deviation = sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2)
    margin = stats.t.ppf(0.975, 1) * deviation / math.sqrt(2)
    return Point(100 * x, 100 * mean, 100 * (mean - margin), 100 * (mean + margin), 2)


def test_accuracy_is_the_mean_of_the_recorded_accuracies_with_its_interval(ticket):
    accuracy = figure('accuracy', ticket.folder)
    (series,) = [series for series in accuracy.panels[0].series if not series.dashed]
    rows = {(row.seed, row.round): row for row in ticket.table()}
    for number, point in enumerate(series.points):
        row = rows[0, number]
        expected = interval_point(row.density, [rows[seed, number].test_accuracy for seed in (0, 1)])
        assert point == pytest.approx(expected)
    assert len(series.points) == 3 and series.points[0].x == 100
