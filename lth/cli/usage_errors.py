"""Mistakes that typer finds on the command line, told as all others: in one paragraph, with exit code 2."""
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import typer

from lth.cli.console import print_error
from lth.errors import USER_ERROR, quote, shorten_words, suggestion

# Of the click that new versions of typer contain, or of the package that old versions use.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turn an error of the command line in the block into one paragraph and exit code 2."""

    try:
        yield
    except UsageError as error:
        if type(error).__name__ == 'NoArgsIsHelpError':
            raise
        print_error(explain(error))
        raise typer.Exit(USER_ERROR) from None


def explain(error: Any) -> str:
    """What is wrong, by the kind of the error, and where the help is."""

    message = shorten_words(_message(error))
    command = error.ctx.command_path if error.ctx else 'lth'
    return f'{message}{"" if message.endswith(("?", ".")) else "."} See `{command} --help`.'


def _message(error: Any) -> str:
    match type(error).__name__:
        case 'NoSuchOption':
            return f'There is no option {quote(error.option_name)}{suggestion(error.option_name, _options(error.ctx))}'
        case 'MissingParameter':
            return f'{_name(error.param)} is missing'
        case 'BadParameter' if error.param is None:
            return str(error.message)
        case 'BadParameter':
            return _about_value(_name(error.param), error.message.removeprefix('Value error, '))
        case 'BadOptionUsage':
            return f'{error.option_name}: the value is missing'
    if extra := re.fullmatch(r'Got unexpected extra argument\(?s?\)? \((.*)\)', error.message, re.DOTALL):
        return f'There are too many arguments: {quote(extra[1])}'
    if unknown := re.fullmatch(r"No such command '(.*?)'\..*", error.message, re.DOTALL):
        return f'There is no command {quote(unknown[1])}{suggestion(unknown[1], error.ctx.command.commands)}'
    return str(error.message)


def _about_value(name: str, message: str) -> str:
    """What is wrong with the value of an option. For one of a few words, these are in the message of typer."""

    if choice := re.fullmatch(r"'(.*)' is not one of (.*?)\.?", message, re.DOTALL):
        return f'{name}: {quote(choice[1])} is not one of {choice[2]}'
    return message if message.startswith(name) else f'{name}: {message}'


def _options(context: Any) -> list[str]:
    """The long names of the options of the command."""

    return [name for option in context.command.params for name in option.opts if name.startswith('--')]


def _name(parameter: Any) -> str:
    """An argument as it is called in the help, or the long name of an option."""

    if parameter is None:
        return 'A value'
    if parameter.param_type_name == 'argument':
        return str(parameter.metavar or parameter.name.upper())
    return str(max(parameter.opts, key=len))
