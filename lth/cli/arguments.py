"""Parse the texts of options: numbers, names, densities, and the settings of --set."""
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth import experiments, recipes
from lth.errors import LthError, quote
from lth.registry import trust
from lth.system import yaml_text

if TYPE_CHECKING:
    from lth.experiments.changes import Changes
    from lth.recipes.rare_gems import Conversion

# Settings have at most four parts, such as algorithm.finetune.optimizer.name.
_MOST_PARTS = 10
_MOST_NUMBERS = 10_001
_MOST_DENSITIES = 100


def changes(options: Mapping[str, Any], overrides: Sequence[str] | None, epochs: int | None = None) -> 'Changes':
    """The changes to a recipe: options by dotted key, the texts of --set, and the number of epochs. Code that --set
    names may run.
    """

    return experiments.changes.Changes(epochs, options, list(map(_parse_override, overrides or ())))


def parse_numbers(text: str, option: str) -> list[int]:
    """Parse numbers and ranges, such as `0-4` or `0,2,7`. Returns each number once, in ascending order."""

    numbers: set[int] = set()
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*', part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise LthError(f'{option}: {quote(text)} is not a list of numbers. Give numbers from 0 to '
                           '999,999,999 and ranges, such as 0-4 or 0,2,7.')
        if last - first >= _MOST_NUMBERS:
            raise _too_many(text, option)
        numbers.update(range(first, last + 1))
        if len(numbers) > _MOST_NUMBERS:
            raise _too_many(text, option)
    return sorted(numbers)


def _too_many(text: str, option: str) -> LthError:
    return LthError(f'{option}: {quote(text)} has too many numbers. Give at most {_MOST_NUMBERS:,}.')


def parse_names(text: str | None) -> list[str] | None:
    """Parse names that are separated by commas; None if the option is not given."""

    return None if text is None else [name.strip() for name in text.split(',')]


def parse_densities(text: str) -> list[float]:
    """Parse densities that are separated by commas, such as `1,0.51,0.21`."""

    try:
        densities = [float(part) for part in text.split(',')]
    except ValueError:
        densities = []
    if not densities or not all(0 < density <= 1 for density in densities):
        raise LthError(f'--densities: {quote(text)} is not a list of densities. Give shares above 0 and at most 1, '
                       'such as 1,0.51,0.055.')
    if len(densities) > _MOST_DENSITIES:
        raise LthError(f'--densities: {quote(text)} has {len(densities)} densities. Give at most {_MOST_DENSITIES}, as '
                       'each takes several seconds.')
    return densities


def read_conversion(file: Path, model: str | None = None, dataset: str | None = None) -> 'Conversion':
    """Read a file of rare-gems settings, complete it by the model and data set, and convert it to a recipe."""

    return recipes.rare_gems.convert(yaml_text.read_yaml(file), file.name, model=model, dataset=dataset)


def parse_setting(text: str, option: str, example: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE, as the option gives it; the value is YAML."""

    key, equals, value = text.partition('=')
    parts = key.strip().split('.')
    if not equals or not all(parts) or len(parts) > _MOST_PARTS:
        raise LthError(f'{option} {quote(text)}: write it as KEY=VALUE, such as {option} {example}.')
    return key.strip(), yaml_text.parse_yaml(value, f'{option} {quote(text)}')


def _parse_override(text: str) -> tuple[str, Any]:
    key, value = parse_setting(text, '--set', 'training.batch_size=128')
    return key, trust.add(value)
