"""Tables in narrow terminals: no word is broken, and no line is longer than the terminal."""
import pytest

from lth.analysis.statistics import Interval
from lth.cli import console
from lth.cli.tables import number, percent, print_table

ROWS = [('runs/lenet-300-100', 'undecided', '0.83 ± 7.06'), ('  runs/lenet-300-100-controls/reinit', 'yes', '')]
COLUMNS = {'run': lambda row: row[0], 'stable': lambda row: row[1], 'angle in °': lambda row: row[2]}


@pytest.mark.parametrize('width', range(40, 70))
def test_words_stay_whole_and_lines_fit(capsys, monkeypatch, width):
    monkeypatch.setattr(console.out, 'width', width)
    print_table('Caption', COLUMNS, ROWS)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert {word for row in (*ROWS, list(COLUMNS)[1:]) for cell in row for word in cell.split()} <= {
        word.strip(',') for word in shown.split()}


def test_a_table_that_does_not_fit_is_a_list_of_paragraphs(capsys, monkeypatch):
    monkeypatch.setattr(console.out, 'width', 44)
    print_table('Caption', COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines() == [
        'Caption', 'runs/lenet-300-100', '    stable undecided, angle in ° 0.83 ± 7.06',
        '  runs/lenet-300-100-controls/reinit', '      stable yes']


@pytest.mark.parametrize(('mean', 'margin', 'shown'), [
    (13.76, 4.39, '13.8 ± 4.4'), (63.83, 117.06, '63.8 ± 117.1'), (4.9, 0.12, '4.90 ± 0.12'),
    (0.44, 0.0146, '0.440 ± 0.015'), (1234.5, 60.4, '1,234 ± 60'), (0, 0.5, '0 ± 0.5'), (-0.0512, None, '−0.0512'),
    (2.5e-5, 1e-6, '2.5e-05 ± 1e-06'), (3.2e7, 1e6, '3.2e+07 ± 1e+06')])
def test_a_mean_and_its_margin_have_the_same_number_of_decimals(mean, margin, shown):
    assert number(Interval(mean, margin, 2)) == shown


@pytest.mark.parametrize('width', range(24, 60))
def test_a_mean_and_its_margin_stay_on_one_line(capsys, monkeypatch, width):
    monkeypatch.setattr(console.out, 'width', width)
    columns = {'round': str, 'test %': lambda row: f'85.37 ± {row}.79', 'units': lambda row: f'{row} of 64'}
    print_table('Caption', columns, [1, 12])
    shown = capsys.readouterr().out
    assert all(part in shown for part in ('85.37 ± 1.79', '85.37 ± 12.79', '1 of 64', '12 of 64'))
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(('width', 'has_early_stop'), [(60, False), (80, True)])
def test_the_table_of_a_run_leaves_out_the_early_stop_where_the_terminal_is_narrow(
        lth, monkeypatch, width, has_early_stop):
    search = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '-b', '200', '--seeds', '0-1')
    monkeypatch.setattr(console.out, 'width', width)
    shown = lth(*search, '--controls', 'shuffle-mask').out
    assert '1 shuffle-mask' in shown and ('test % at stop' in shown) == has_early_stop
    assert max(map(len, shown.partition('Next:')[0].splitlines())) <= width  # commands are not wrapped


@pytest.mark.parametrize(('mean', 'margin', 'shown'), [
    (0.97714, None, '97.71'), (0.97714, 0.0012, '97.71 ± 0.12'), (-0.0031, 0.1, '−0.31 ± 10.00')])
def test_shares_have_two_decimals_and_a_minus_sign(mean, margin, shown):
    assert percent(Interval(mean, margin, 2)) == shown
