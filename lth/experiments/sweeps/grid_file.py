"""The grid file of a sweep: a command of lth, and lists of values for some settings. It becomes a list of cells.

    command: find-ticket conv-2 cifar10 -i 5
    seeds: 0-2
    folder: runs/rates
    grid:                                   # every combination of the values
      algorithm.rates.convolution: [0.1, 0.2]
    zip:                                    # the first values together, the second values together, ...
      training.batch_size: [60, 120]
      training.length: ['20 epochs', '40 epochs']
"""
import hashlib
import itertools
import math
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field

from lth.errors import LthError, quote
from lth.experiments import folders
from lth.recipes.section import Section, validate_section
from lth.system import yaml_text

_MOST_CELLS, _MOST_PRINTED = 10_000, 10 ** 12
# File systems allow 255 bytes; the folders of controls and of derived runs add to the name.
_MOST_BYTES = 120
_Values = Annotated[list[Any], Field(min_length=1)]


def _check_seeds(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, str, type(None))):
        raise ValueError('it should be one number, or numbers and ranges such as 0-4 or 0,2,7')
    return value


class GridFile(Section):
    """The content of a grid file. `seeds` is as in --seeds. The keys of `grid` and `zip` are dotted settings."""

    command: str
    seeds: Annotated[int | str | None, BeforeValidator(_check_seeds)] = None
    folder: str
    grid: dict[str, _Values] = {}
    zip: dict[str, _Values] = {}

    @pydantic.model_validator(mode='after')
    def _has_values_that_fit_together(self) -> 'GridFile':
        lengths = {key: len(values) for key, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            counts = ', '.join(f'{key} has {length}' for key, length in lengths.items())
            raise ValueError(f'zip: its lists are taken together, so they need the same number of values: {counts}')
        if both := self.grid.keys() & self.zip.keys():
            raise ValueError(f'{min(both)} is in grid and in zip: leave one of them out')
        return self

    @property
    def seed_text(self) -> str | None:
        """The seeds as --seeds takes them, None if the command is to choose them."""

        return None if self.seeds is None else str(self.seeds)

    @property
    def arguments(self) -> list[str]:
        """The words of the command, without `lth`; ~ is the home folder, as in a shell."""

        words = [os.path.expanduser(word) for word in shlex.split(self.command)]
        return words[1:] if words[:1] == ['lth'] else words


@dataclass(frozen=True)
class CellSettings:
    """One combination of the values: its name, which is that of its folder, and its settings by dotted key."""

    name: str
    settings: Mapping[str, Any]


def read_grid(path: Path) -> GridFile:
    """The grid file. LthError if it is damaged, has unknown keys, or lists that do not fit together."""

    grid = validate_section(GridFile, yaml_text.read_yaml(path), str(path))
    try:
        words = grid.arguments
    except ValueError as error:
        raise LthError(f'{path}: command: {quote(grid.command)} cannot be read: {error}. Close its quotes.') from None
    if not words:
        raise LthError(f'{path}: command is empty. Write a command of lth, such as `find-ticket lenet-300-100 digits`.')
    count = math.prod(map(len, grid.grid.values())) * _zip_length(grid)
    if count > _MOST_CELLS:
        printed = f'{count:,}' if count <= _MOST_PRINTED else f'more than {_MOST_PRINTED:,}'
        raise LthError(f'{path}: the grid has {printed} cells. Give at most {_MOST_CELLS:,}: make several sweeps.')
    return grid


def cell_settings(grid: GridFile) -> list[CellSettings]:
    """The cells of a grid, in the order of its values, each with a name of its own."""

    combinations = []
    rows = [dict(zip(grid.zip, values)) for values in zip(*grid.zip.values())] or [{}]
    for values, row in itertools.product(itertools.product(*grid.grid.values()), rows):
        combinations.append(dict(zip(grid.grid, values)) | row)
    labels = _labels([*grid.grid, *grid.zip])
    names = [_name(combination, labels) for combination in combinations]
    shared = {name for name, count in Counter(map(_folder_key, names)).items() if count > 1}
    return [CellSettings(_distinct(name, combination) if _folder_key(name) in shared else name, combination)
            for name, combination in zip(names, combinations, strict=True)]


def _zip_length(grid: GridFile) -> int:
    return len(next(iter(grid.zip.values()), [None]))


def _labels(keys: Sequence[str]) -> dict[str, str]:
    """For each key as many of its last parts as make it different from the others: `learning_rate`."""

    labels = {}
    for key in keys:
        parts = key.split('.')
        ends = ['.'.join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        labels[key] = next((end for end in ends if not any(
            f'.{other}'.endswith(f'.{end}') for other in keys if other != key)), key)
    return labels


def _name(combination: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """`learning_rate=0.1,batch_size=60`; `all` for the only cell of a grid without values."""

    parts = [f'{folders.file_name(labels[key])}={folders.file_name(str(value))}' for key, value in combination.items()]
    name = ','.join(parts) or 'all'
    start = os.fsencode(name)[:_MOST_BYTES].decode(errors='ignore')
    return name if start == name else _distinct(start, combination)


def _folder_key(name: str) -> str:
    """The same text for names that some file systems take for the same."""

    return unicodedata.normalize('NFKC', name).casefold()


def _distinct(name: str, combination: Mapping[str, Any]) -> str:
    """The name with a digest of the settings: what the name leaves out may be what differs."""

    digest = hashlib.blake2b(repr(sorted(combination.items())).encode(errors='replace'), digest_size=3)
    return f'{name},{digest.hexdigest()}'
