"""Text of the user is printed as it is: rich's markup in names, paths, values and messages of plug-ins is only text."""
import io
import json

import pytest
from rich.console import Console

from lth.cli import tables
from lth.errors import printable
from tests.cli.test_option_rules import COMMANDS

MARKUP = 'x[/bold]'
CONTROLS = 'x\x1b[31m\r\x9b\u202ey'


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


@pytest.mark.parametrize('command', COMMANDS)
def test_control_characters_in_arguments_never_reach_the_terminal(lth, command):
    needed = {'transfer': ('--to', CONTROLS), 'find-gem': ('--sparsity', '5')}
    result = lth(command, CONTROLS, CONTROLS, *needed.get(command, ()))
    assert result.code in (2, 3)
    assert '\\x1b[31m' in result.err and not set('\x1b\r\x9b\u202e') & set(result.err + result.out)


def test_control_characters_in_the_name_of_a_run_never_reach_the_terminal(lth):
    search = ('find-ticket', 'lenet-300-100', 'digits', '-i', '0', '-e', '1', '-b', '200', '--run', CONTROLS)
    listed = ('list', 'runs', 'runs'), ('show', 'run', CONTROLS)
    for command in (search, *listed):
        result = lth(*command)
        assert result.code == 0 and '\\x1b[31m' in result.out
        assert not set('\x1b\r\x9b\u202e') & set(result.out + result.err)
    assert json.loads(lth(*listed[0], '--json').out)['entries'][0]['run'] == f'runs/{CONTROLS}'


def test_printable_text_keeps_letters_of_all_languages_line_ends_and_tabs():
    assert printable('é\t漢\n🙂') == 'é\t漢\n🙂'
    assert printable('a\x1b\x07\r\x7f\x9b\u202eb') == 'a\\x1b\\x07\\r\\x7f\\x9b\\u202eb'


def test_markup_in_headings_captions_and_cells_of_a_table_is_text():
    text = io.StringIO()
    table = tables.make_table('c[/bold]', {'h[/bold]': lambda row: row, 'i[red]': lambda row: row}, ['r[/bold]'])
    Console(file=text, width=100).print(table)
    for part in ('c[/bold]', 'h[/bold]', 'i[red]', 'r[/bold]'):
        assert part in text.getvalue()
