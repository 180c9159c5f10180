"""Files of rare-gems settings, a flat mapping of about a hundred known keys, converted to recipes.

Every key is converted, not needed, or refused where it would change the result; unknown keys are errors. Notes list the
keys that were not needed and the published defaults that were used. A new key is a line in keys.py.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth.errors import LthError
from lth.recipes.rare_gems.algorithms import algorithm, kind_of_search
from lth.recipes.rare_gems.reader import Reader
from lth.recipes.rare_gems.sections import data, finetuning_milestones, model
from lth.system.yaml_text import Raw

__all__ = ['Conversion', 'convert', 'finetuning_milestones']


@dataclass(frozen=True)
class Conversion:
    """A recipe before validation, notes for the user, and what a recipe does not contain: the seeds, and the folder of
    the data sets if the file names one.
    """

    recipe: Raw
    notes: tuple[str, ...]
    seeds: tuple[int, ...]
    datasets: Path | None


def convert(raw: Mapping[str, Any], origin: str) -> Conversion:
    """The recipe for rare-gems settings. LthError with one line for each error; `origin` is the name of their file."""

    if not isinstance(raw, Mapping):
        raise LthError(f'{origin}: expected rare-gems settings, lines of the form `key: value`, found '
                       f'{type(raw).__name__}.')
    reader = Reader(raw)
    kind = kind_of_search(reader)
    reader.refuse_unsupported(kind)
    training, settings = algorithm(kind, reader)
    recipe = {'source': f'{origin} (rare-gems settings)', 'model': model(reader), 'data': data(reader),
              'training': training, 'algorithm': settings}
    seeds, folder = _seeds(reader), reader.data
    if reader.errors:
        raise LthError('\n'.join(f'{origin}: {error}' for error in reader.errors))
    return Conversion(recipe, reader.notes(), seeds, Path(folder) if folder else None)


def _seeds(reader: Reader) -> tuple[int, ...]:
    """The seed of this trial; trial_num is the number of this run among several, not the number of runs."""

    seed, trial = reader.seed, reader.trial_num if 'trial_num' in reader else 1
    if trial > 1:
        reader.note(f'trial_num {trial} is one of several runs, so the seed is seed + trial_num - 1 = '
                    f'{seed + trial - 1}; for all of these runs use --seeds {seed}-{seed + trial - 1}')
    return (seed + trial - 1,)
