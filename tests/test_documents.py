"""Documents agree with the program: commands and options, links, packages; the site is built from them.

Command lines are checked in tests/typed_commands.py, and what the Python documents do in tests/test_api_documents.py.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lth
from lth.analysis.sanity_checks import available_checks
from lth.models.initializers import INITIALIZERS
from lth.pruning.criteria import CRITERIA
from tests import typed_commands

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md')] + sorted(ROOT.glob('docs/*.md'))
# Options of other programs: the markers of pytest.
OTHER_PROGRAMS = {'-m'}
NUMBERS = dict(enumerate('seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen'.split(), start=7))


def test_links_in_documents_lead_to_files():
    broken = [f'{document.name}: {link}' for document in DOCUMENTS
              for link in re.findall(r'\]\(([^)#:]+)[^):]*\)', document.read_text())
              if not (document.parent / link).exists()]
    assert broken == []


def test_lines_of_documents_have_at_most_100_columns():
    long = []
    for document in DOCUMENTS:
        text = re.sub(r'^```.*?^```', lambda block: '\n' * block[0].count('\n'), document.read_text(),
                      flags=re.DOTALL | re.MULTILINE)
        for number, line in enumerate(text.split('\n'), 1):
            if len(line) > 100 and not line.startswith(('|', '    ')) and '](' not in line:
                long.append(f'{document.name}:{number}')
    assert long == []


def test_no_blank_line_cuts_a_table():
    cut = [f'{document.name}: {row}' for document in DOCUMENTS
           for row in re.findall(r'\n\n(\|.*)\n(?!\|-)', document.read_text())]
    assert cut == []


def test_the_architecture_document_names_every_package():
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    names = {path.name for path in (ROOT / 'lth').iterdir()
             if (path.suffix == '.py' and path.stem != '__init__') or (path / '__init__.py').exists()}
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda document: document.stem)
def test_commands_and_options_in_documents_exist(document):
    text = document.read_text()
    assert [fault for line in typed_commands.command_lines(text) if (fault := typed_commands.fault(line))] == []
    assert set(typed_commands.option_names(text)) - typed_commands.all_options() - OTHER_PROGRAMS == set()


def test_the_readme_lists_every_command():
    row = re.search(r'^\| \*\*Commands\*\* .*', (ROOT / 'README.md').read_text(), re.MULTILINE)
    assert row and set(re.findall(r'`([a-z-]+)`', row[0])) == set(typed_commands.PROGRAM.commands)


def test_commands_and_options_in_the_help_of_commands_exist():
    texts = [command.help for command in typed_commands.PROGRAM.commands.values()]
    lines = [line for text in texts for line in typed_commands.command_lines(text)]
    assert len(lines) > 40 and [fault for line in lines if (fault := typed_commands.fault(line))] == []


@pytest.mark.parametrize('line, word', [
    ('lth find-tickets lenet-300-100 digits', 'find-tickets'),
    ('lth find-ticket lenet-300-100 digits --seed 3', '--seed'),
    ('lth --verbose list models', '--verbose'),
    ('lth list modells', 'modells')])
def test_a_command_or_option_that_does_not_exist_is_noticed_in_a_document(line, word):
    text = f'Text.\n\n```sh\n{line}  # a comment\n```\n\n    cd x && {line} | head -1\n\nAlso `python -m {line}`.\n'
    lines = typed_commands.command_lines(text)
    assert lines == [line] * 3 and all(word in typed_commands.fault(line) for line in lines)


def test_option_names_in_inline_code_are_read():
    assert typed_commands.option_names('`--seeds 0-4`, `-e`, `--mask-1-action`, `-seed-S`, `a --b`') == [
        '--seeds', '-e', '--mask-1-action']


@pytest.mark.parametrize(('document', 'words', 'names'), [
    ('README.md', r'(\w+) \[sanity checks\]', available_checks),
    ('CHANGELOG.md', r'`lth sanity-check` compares a ticket or gem with (\w+)\s+variants', available_checks),
    ('README.md', r'(\w+)\s+mask criteria', CRITERIA.names),
    ('CHANGELOG.md', r'(\w+)\s+initializers', INITIALIZERS.names)])
def test_numbers_of_choices_in_documents_are_those_of_the_program(document, words, names):
    found = re.findall(words, (ROOT / document).read_text())
    assert found == [NUMBERS[len(names())]]


def test_every_page_of_the_site_is_in_its_index():
    index = (ROOT / 'docs/index.md').read_text()
    listed = [line for block in re.findall(r'```{toctree}(.*?)```', index, re.DOTALL)
              for line in block.split('\n') if line and not line.startswith(':')]
    pages = {path.stem for path in ROOT.glob('docs/*') if path.suffix in ('.md', '.ipynb')}
    assert sorted(listed) == sorted(pages - {'index'})


def test_the_reference_names_every_public_object_of_the_package():
    text = (ROOT / 'docs/api.md').read_text()
    assert [name for name in lth.__all__ if not re.search(rf'\blth\.{name}\b', text)] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_site_is_built_without_a_warning_and_runs_the_notebook(tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-n', '-W', '--keep-going', '-q', 'docs', str(tmp_path / 'site')], cwd=ROOT,
        env=os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / 'site/commands.html').read_text()
    assert all(f'lth {name}' in commands for name in typed_commands.PROGRAM.commands)
    assert '[bold]' not in commands and '\N{EN DASH}help' not in commands
    assert 'dataframe' in (tmp_path / 'site/tutorial.html').read_text()
    assert 'lth.find_ticket' in (tmp_path / 'site/api.html').read_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_command_of_the_documents_finds_matching_tickets(tmp_path):
    readme = (ROOT / 'README.md').read_text()
    command = re.search(r'^python3 -m venv .* -m lth (.*)$', readme, re.MULTILINE)
    for document in ('docs/index.md', 'docs/first-ticket.md'):
        assert f'\n    lth {command[1]}\n' in (ROOT / document).read_text()
    done = subprocess.run(
        [sys.executable, '-m', 'lth', *command[1].split()], cwd=tmp_path, text=True, capture_output=True, check=False,
        env=os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr
    # Accuracies differ between processors in their last digits, so only the kinds of sentences are compared.
    for sentence in ('Matching tickets were found:', 'Sparsest matching ticket: round', 'Undecided:'):
        assert sentence in done.stdout and sentence in readme
    rows = re.findall(r'^ (\d+ +\d+\.\d\d) ', done.stdout, re.MULTILINE)
    assert rows == re.findall(r'^ (\d+ +\d+\.\d\d) ', (ROOT / 'docs/first-ticket.md').read_text(), re.MULTILINE)
    assert len(rows) == 9
