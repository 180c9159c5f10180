"""Text of the user is printed as it is: rich's markup in names, paths, values and messages of plug-ins is only text."""
import io

import pytest
from rich.console import Console

from lth.cli import tables
from tests.cli.test_option_rules import COMMANDS

MARKUP = 'x[/bold]'


@pytest.mark.parametrize('command', COMMANDS)
def test_markup_in_arguments_is_text_in_every_command(lth, command):
    needed = {'transfer': ('--to', MARKUP), 'find-gem': ('--sparsity', '5')}
    result = lth(command, MARKUP, MARKUP, *needed.get(command, ()))
    assert result.code in (2, 3)
    assert MARKUP in result.err + result.out


def test_markup_in_the_name_of_a_run_is_text_in_the_list_of_runs(lth):
    search = ('find-ticket', 'lenet-300-100', 'digits', '-i', '0', '-e', '1', '-b', '200', '--run', 'a[/bold]')
    assert lth(*search).code == 0
    assert 'a[/bold]' in lth('list', 'runs', 'a[').out


def test_markup_in_headings_captions_and_cells_of_a_table_is_text():
    text = io.StringIO()
    table = tables.make_table('c[/bold]', {'h[/bold]': lambda row: row, 'i[red]': lambda row: row}, ['r[/bold]'])
    Console(file=text, width=100).print(table)
    for part in ('c[/bold]', 'h[/bold]', 'i[red]', 'r[/bold]'):
        assert part in text.getvalue()
