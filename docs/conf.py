"""The documentation as a site: `python -m sphinx docs build/site` writes build/site/index.html.

The page of the commands is generated from the program, and api.md reads docstrings. To add a page, write docs/NAME.md
and name it in docs/index.md.
"""
import html
import re
import sys
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import lth  # noqa: E402
from lth.cli import app  # noqa: E402

project = 'lth'
author = 'The lth authors'
version = release = lth.__version__
html_title = f'lth {release}'
html_theme = 'furo'
html_copy_source = False
html_show_copyright = False
# Options such as --help are typed with two hyphens, also outside of code.
smartquotes = False
extensions = ['myst_nb', 'sphinx.ext.autodoc']

# Links to #headings of other pages are verified.
myst_heading_anchors = 4
# The notebook is executed at every build, in a folder of its own, so that what it shows is what the code does.
nb_execution_mode = 'force'
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900

default_role = 'code'
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
# Links between pages are verified, names of types in signatures are not: most of them are of torch and Python, whose
# documentation cannot be read without a network.
nitpick_ignore_regex = [('py:.*', '.*')]


def commands() -> str:
    """The help of all commands as Markdown. typer leaves bold words as they are, or writes them as HTML."""

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name='lth')
    text = re.sub(r'^\* `([\w-]+)`: .*\.\.\.$', lambda match: _entry(command, *match.group(0, 1)), text,
                  flags=re.MULTILINE)
    text = re.sub(r'<span style="font-weight: bold">(.*?)</span>', r'**\1**', text)
    return html.unescape(re.sub(r'\[bold\](.*?)\[/bold\]', r'**\1**', text))


def _entry(program: Any, entry: str, name: str) -> str:
    """The entry of a command in the list of all commands with its whole first sentence, which typer shortens."""

    command = program.commands.get(name)
    return f'* `{name}`: {command.help.split(chr(10))[0]}' if command else entry


def add_generated_text(_sphinx: Any, page: str, source: list[str]) -> None:
    """Append the commands to their page, and let links to the README lead to the first page."""

    source[0] = source[0].replace('](../README.md', '](index.md')
    if page == 'commands':
        source[0] += commands().removeprefix('# `lth`\n')


def mark_examples(_sphinx: Any, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings of lth are plain text: their indented paragraphs are code."""

    marked: list[str] = []
    for line in lines:
        starts = line.startswith('    ') and marked and not marked[-1]
        if starts and not any(earlier.startswith('    ') for earlier in marked[-2:-1]):
            marked += ['::', '']
        marked.append(line)
    lines[:] = marked


def setup(sphinx: Any) -> None:
    """Called by Sphinx."""

    sphinx.connect('source-read', add_generated_text)
    sphinx.connect('autodoc-process-docstring', mark_examples)
