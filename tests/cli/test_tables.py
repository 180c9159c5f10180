"""Tables in narrow terminals: no word is broken, and no line is longer than the terminal."""
import pytest

from lth.cli import console
from lth.cli.tables import print_table

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
