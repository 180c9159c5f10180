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
    needed = {'transfer': ('--to', MARKUP), 'find-gem': ('--sparsity', '5'), 'export': ('--format', 'torch'),
              'export-metrics': ('-o', 'x.csv')}
    result = lth(command, MARKUP, MARKUP, *needed.get(command, ()))
    assert result.code in (2, 3)
    assert MARKUP in result.err + result.out


def test_markup_in_the_name_of_a_run_is_text_in_the_list_of_runs(lth):
    search = ('find-ticket', 'lenet-300-100', 'digits', '-i', '0', '-e', '1', '-b', '200', '--run', 'a[/bold]')
    assert lth(*search).code == 0
    assert 'a[/bold]' in lth('list', 'runs', 'a[').out


@pytest.mark.parametrize('command', COMMANDS)
def test_control_characters_in_arguments_never_reach_the_terminal(lth, command):
    needed = {'transfer': ('--to', CONTROLS), 'find-gem': ('--sparsity', '5'), 'export': ('--format', 'torch'),
              'export-metrics': ('-o', 'x.csv')}
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


@pytest.mark.parametrize('option', [
    '--seeds', '-i', '-e', '-b', '--learning-rate', '--criterion', '--mask-1-action', '--engine', '--precision',
    '--device', '--controls', '--control-draws', '--log', '--set', '--threads', '--margin', '--keep', '--replicates',
    '--checkpoint-every', '--recipe', '--retrain', '--compile'])
def test_markup_in_the_values_of_options_is_text(lth, option):
    result = lth('find-ticket', 'lenet-300-100', 'digits', option, MARKUP)
    assert result.code == 2 and MARKUP in result.err, result.err


def test_markup_in_a_setting_and_in_its_name_is_text(lth):
    for setting in (f'training.batch_size={MARKUP}', f'data.{MARKUP}=1', f'model.name={MARKUP}'):
        result = lth('find-ticket', 'lenet-300-100', 'digits', '--set', setting)
        assert result.code == 2 and MARKUP in result.err


@pytest.mark.parametrize('place', ['built', 'forward', 'criterion', 'warning'])
def test_markup_in_messages_of_code_of_users_is_text(lth, tmp_path, place):
    (tmp_path / 'own.py').write_text(f'''
import warnings

from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.output = nn.Linear(shape[0] * shape[1] * shape[2], classes)
        if {place == 'built'}:
            raise ValueError('{MARKUP} [link=nope]')

    def forward(self, images):
        if {place == 'forward'}:
            raise ValueError('{MARKUP} [link=nope]')
        if {place == 'warning'}:
            print('{MARKUP} [link=nope]')
        return self.output(images.flatten(1))

def score(*_arguments, **_options):
    raise ValueError('{MARKUP} [link=nope]')
''')
    options = ['--criterion', 'own.py:score'] if place == 'criterion' else []
    result = lth('find-ticket', 'own.py:Net', 'digits', '-i', '1', '-e', '1', *options)
    assert result.code == (0 if place == 'warning' else 2)
    assert f'{MARKUP} [link=nope]' in result.out + result.err
