"""Settings as rare-gems users have them: a flat mapping of a hundred known keys, as a recipe of ours.

A key is taken over, or not needed here, or refused where it would matter; another is unknown. Nothing is left out in
silence: what had no part is named in a remark, and so is what was taken by its published default. A new key is a line
in keys.py, and where it is taken over, code that reads it.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth.errors import LthError
from lth.recipes.rare_gems.algorithms import algorithm, kind_of
from lth.recipes.rare_gems.reader import Reader
from lth.recipes.rare_gems.sections import data, finetuning_milestones, model
from lth.system.files import Raw

__all__ = ['Conversion', 'convert', 'finetuning_milestones']


@dataclass(frozen=True)
class Conversion:
    """A recipe as it is written, what the user should know of it, and what decides no result: the seeds, and the folder
    of the pictures if one was named.
    """

    recipe: Raw
    notes: tuple[str, ...]
    seeds: tuple[int, ...]
    datasets: Path | None


def convert(raw: Mapping[str, Any], origin: str) -> Conversion:
    """Rare-gems settings as a recipe; an LthError with a line for everything that is wrong. `origin` is where they
    stand.
    """

    if not isinstance(raw, Mapping):
        raise LthError(f'{origin}: expected `key: value` lines as rare-gems has them, found {type(raw).__name__}.')
    given = Reader(raw)
    kind = kind_of(given)
    given.refuse_what_matters(kind)
    training, settings = algorithm(kind, given)
    recipe = {'source': f'{origin} (rare-gems settings)', 'model': model(given), 'data': data(given),
              'training': training, 'algorithm': settings}
    seeds, folder = _seeds(given), given.text('data')
    if given.complaints:
        raise LthError('\n'.join(f'{origin}: {complaint}' for complaint in given.complaints))
    return Conversion(recipe, given.told(), seeds, Path(folder) if folder else None)


def _seeds(given: Reader) -> tuple[int, ...]:
    """The one seed of this trial. trial_num tells which of several runs a file is for, not how many there are."""

    seed, trial = given.whole('seed', least=0), given.whole('trial_num', least=1) if 'trial_num' in given else 1
    if trial > 1:
        given.note(f'trial_num {trial} is one run of several, so its seed is {seed + trial - 1}: seed + trial_num - '
                     f'1; for all of them --seeds {seed}-{seed + trial - 1}')
    return (seed + trial - 1,)
