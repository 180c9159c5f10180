"""Command lines of lth in documents, checked against the program without running them.

A command line starts with `lth `, in a code block, in inline code, or after another command in a shell line.
"""
import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from lth.cli import app
from lth.cli.list import KINDS

PROGRAM: Any = typer.main.get_command(app)
_BLOCK = re.compile(r'^```[^\n]*\n(.*?)^```', re.DOTALL | re.MULTILINE)
_OPTION = re.compile(r'(--[a-z][a-z0-9-]*|-[a-z])(?![\w-])')
_LTH = re.compile(r'(?:[$] |\S+ -m |nohup )?lth (?=\S)')


def command_lines(markdown: str) -> list[str]:
    """All command lines of lth in a document, each without what follows it in its shell line."""

    return [part for code in [*_blocks(markdown), *inline_code(markdown)] for part in _parts(code)]


def option_names(markdown: str) -> list[str]:
    """The options with which a piece of inline code starts, such as `--seeds 0-4`."""

    return [match[0] for code in inline_code(markdown) if (match := _OPTION.match(code))]


def inline_code(markdown: str) -> list[str]:
    """The words in single backticks, in one line each."""

    text = re.sub(r'^    .*$', '', _BLOCK.sub('', markdown), flags=re.MULTILINE)
    return [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', text.replace('\\|', '|'))]


def fault(line: str) -> str | None:
    """What a command line names that does not exist: a command, an option, a kind of `lth list`. Words in capitals,
    such as COMMAND, and `...` stand for any.
    """

    try:
        _, words = _parsed(PROGRAM, shlex.split(line)[1:])
        if words and not words[0].isupper():
            _, command, words = PROGRAM.resolve_command(typer.Context(PROGRAM), words)
            values, _ = _parsed(command, words)
            if command.name == 'list' and values.get('kind') not in (*KINDS, 'KIND', '...', None):
                return f'{line}: there is no list of {values["kind"]}'
    except Exception as error:  # pylint: disable=broad-exception-caught # classes of the click that typer contains
        return None if type(error).__name__ == 'BadOptionUsage' else f'{line}: {error}'
    return None


def all_options() -> set[str]:
    """The names of all options of all commands."""

    parameters = [parameter for command in (PROGRAM, *PROGRAM.commands.values()) for parameter in command.params]
    return {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)} | {
        '--help', '-h'}


def _parsed(command: Any, words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of the parameters of a command as they are typed, and the words that are left."""

    values, rest, _ = command.make_parser(typer.Context(command)).parse_args(args=words)
    return values, rest


def _blocks(markdown: str) -> Iterator[str]:
    """The lines of code blocks, fenced and indented; a line that ends with a backslash goes on in the next one."""

    joined = re.sub(r'\\\n *', '', markdown)
    for block in _BLOCK.findall(joined):
        yield from block.split('\n')
    yield from (line for line in _BLOCK.sub('', joined).split('\n') if line.startswith('    '))


def _parts(code: str) -> Iterator[str]:
    """The commands of lth in a shell line: each starts at `lth`, and ends at a comment or an operator."""

    for part in re.split(r'\s(?:&&|[|]{1,2}|2?>|<|#)\s|;\s|\s#', code):
        if start := _LTH.match(part.strip()):
            yield 'lth ' + part.strip()[start.end():]
