"""Files of rare-gems settings, a flat mapping of about a hundred known keys, converted to recipes.

Every key is converted, not needed, or refused where it would change the result; unknown keys are errors. Notes list the
keys that were not needed and the published defaults that were used. A new key is a line in keys.py.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth.errors import LthError, quote
from lth.recipes.rare_gems import sections
from lth.recipes.rare_gems.algorithms import algorithm, kind_of_search
from lth.recipes.rare_gems.keys import GREEDY, KNOWN
from lth.recipes.rare_gems.names import NetworkSettings
from lth.recipes.rare_gems.reader import Reader
from lth.recipes.rare_gems.sections import finetuning_milestones
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


def convert(
        raw: Mapping[str, Any], origin: str, *, model: str | None = None, dataset: str | None = None) -> Conversion:
    """The recipe for rare-gems settings. LthError with one line for each error; `origin` is the name of their file.
    `model` and `dataset` are names of lth, used if the file has no `arch` or no `dataset`; then the data section has
    the name only.
    """

    _refuse_other_files(raw, origin)
    reader = Reader(raw, _completed(model, dataset))
    kind = kind_of_search(reader)
    reader.refuse_unsupported(kind)
    training, settings = algorithm(kind, reader)
    recipe = {
        'source': f'{origin} (rare-gems settings)', 'model': sections.model(kind, reader),
        'data': sections.data(reader), 'training': training, 'algorithm': settings}
    seeds, folder = _seeds(reader), reader.data
    if reader.errors:
        raise LthError('\n'.join(f'{origin}: {error}' for error in reader.errors))
    return Conversion(recipe, reader.notes(), seeds, Path(folder) if folder else None)


def _refuse_other_files(raw: object, origin: str) -> None:
    """LthError in one sentence for a file that holds no settings of rare-gems."""

    if not isinstance(raw, Mapping):
        raise LthError(f'{origin}: expected rare-gems settings, lines of the form `key: value`, found '
                       f'{type(raw).__name__}.')
    if {'model', 'algorithm'} & raw.keys() and 'arch' not in raw:
        raise LthError(f'{origin} is a recipe of lth, not a file of rare-gems settings: use it with --recipe.')
    greedy = sorted(raw.keys() & GREEDY)
    if greedy and 'algo' not in raw:
        raise LthError(f'{origin} is for the greedy pruning program of rare-gems, which alone reads '
                       f'{quote(greedy[0])}; lth converts the settings of its main program, which have a key `algo`.')
    if raw and not raw.keys() & set(KNOWN):
        raise LthError(f'{origin} is not a file of rare-gems settings: {quote(next(iter(raw)))} and its other keys are '
                       'unknown.')


def _completed(model: str | None, dataset: str | None) -> Raw:
    """The keys of rare-gems that MODEL and DATASET stand for."""

    arch = {} if model is None else {'arch': NetworkSettings(model, '')}
    return arch | ({} if dataset is None else {'dataset': {'name': dataset}})


def _seeds(reader: Reader) -> tuple[int, ...]:
    """The seed of this trial; trial_num is the number of this run among several, not the number of runs."""

    seed, trial = reader.seed, reader.trial_num if 'trial_num' in reader else 1
    if trial > 1:
        reader.note(f'trial_num {trial} is one of several runs, so the seed is seed times trial_num, {seed * trial}, '
                    'as in rare-gems')
    return (seed * trial,)
