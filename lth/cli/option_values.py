"""Values of options as numbers. The messages name the value and the limits, and are those of all other errors.

An option with a number is declared with `parser=whole_number(...)` or `parser=number`; its name comes from typer.
"""
import math
import re
from collections.abc import Callable

import typer

from lth.errors import quote

# A count of 12 digits is beyond all that is counted here; int() takes seconds for millions of digits.
_WHOLE_NUMBER = re.compile(r'\s*[+-]?[0-9]{1,12}\s*')


def whole_number(*, smallest: int | None = None, largest: int | None = None) -> Callable[[str], int]:
    """The parser of a whole number with these limits. Without limits, those of the recipe's setting hold."""

    def parse(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(str(text)):
            raise typer.BadParameter(f'{quote(text)} is not a whole number.')
        value = int(text)
        if smallest is not None and value < smallest:
            raise typer.BadParameter(f'{value} is too small. Give at least {smallest:,}.')
        if largest is not None and value > largest:
            raise typer.BadParameter(f'{value} is too large. Give at most {largest:,}.')
        return value
    return parse


def number(text: str) -> float:
    """A number that is finite."""

    if ',' in str(text):
        raise typer.BadParameter(f'{quote(text)} is not one number. Give one, and run the command once for each.')
    if str(text).endswith('%'):
        raise typer.BadParameter(f'{quote(text)} is not a number. Leave out the %.')
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f'{quote(text)} is not a finite number.')
    return value


def number_in(smallest: float, largest: float) -> Callable[[str], float]:
    """The parser of a number within these limits."""

    def parse(text: str) -> float:
        value = number(text)
        if not smallest <= value <= largest:
            raise typer.BadParameter(f'{value:g} is not between {smallest:g} and {largest:g}.')
        return value
    return parse
