"""The recipes that come with lth: one YAML file per model and data set, or per published setting.

`MODEL-DATASET.yaml` is the default of that pair, `MODEL.yaml` of that model on any other data set. A family, which is a
model's name up to its first number, has files as a model has: `resnet-cifar10.yaml`, `resnet.yaml`; and what suits any
model has them too: `default-imagenet.yaml`, `default.yaml`. `gem-MODEL-DATASET-PERCENT.yaml` and `gem.yaml` are for
gems by Gem-Miner, `gem-ALGORITHM.yaml` says what other algorithms that train scores do differently, and
`gem-at-init.yaml` serves those that train nothing. A recipe with a `base` says only what differs from that
one. To add one, put a file here.
"""
import math
import re
from pathlib import Path
from typing import Literal, NamedTuple

from lth.errors import LthError, suggestion
from lth.recipes.schema import merge
from lth.system import files
from lth.system.files import Raw

_FOLDER = Path(__file__).parent
_AT_INIT = 'gem-at-init'


class Preset(NamedTuple):
    """What a recipe is for: the default of its pair, a variant of it, a fallback, which lacks one name or both, or a
    gem.
    """

    name: str
    role: Literal['default', 'variant', 'fallback', 'gem']
    model: str | None
    dataset: str | None
    source: str


def names() -> list[str]:
    """All recipes by name."""

    return sorted(path.stem for path in _FOLDER.glob('*.yaml'))


def preset(name: str) -> Preset:
    """What one of these recipes is for."""

    raw, _ = find(name)
    model, dataset = (raw.get(section, {}).get('name') for section in ('model', 'data'))
    if name.startswith('gem'):
        return Preset(name, 'gem', model, dataset, raw['source'])
    role: Literal['default', 'variant'] = 'default' if name == f'{model}-{dataset}' else 'variant'
    return Preset(name, role if model and dataset else 'fallback', model, dataset, raw['source'])


def find(name: str) -> tuple[Raw, str]:
    """A recipe by its name here or by its file, on top of its base if it names one, and where it was found."""

    raw, origin = _read(name)
    if 'base' not in raw:
        return raw, origin
    base = raw.pop('base')
    if base not in names():
        raise LthError(f'{origin}: base: unknown recipe {base!r}{suggestion(str(base), names())}')
    return _laid(raw, origin, find(base)[0]), origin


def default_recipe(model: str, dataset: str) -> tuple[Raw, str, str | None]:
    """The recipe of a pair, where it was found, and a remark if made for others; names as registered."""

    known, family = names(), re.split(r'-?\d', model)[0]
    candidates = (f'{model}-{dataset}', f'{family}-{dataset}', f'default-{dataset}', model, family, 'default')
    name = next(candidate for candidate in candidates if candidate in known)
    raw, origin = find(name)
    note = f'no published setting for {model} on {dataset}: took those of {origin}; see --dry-run'
    return raw, origin, None if name == candidates[0] else note


def gem_recipe(model: str, dataset: str, density: float, algorithm: str) -> tuple[Raw, str, str | None]:
    """The recipe of a gem, as `default` gives it: that of the pair whose density is nearest, as a ratio; for another
    algorithm than Gem-Miner with what that one's recipe says laid over it.
    """

    raw, origin, note = _mined(model, dataset, density)
    if algorithm == raw['algorithm']['name']:
        return raw, origin, note
    return *_by(algorithm, raw), note


def _mined(model: str, dataset: str, density: float) -> tuple[Raw, str, str | None]:
    known = [name for name in names() if re.fullmatch(f'gem-{re.escape(model)}-{re.escape(dataset)}-[0-9.]+', name)]
    if not known:
        raw, origin = find('gem')
        return raw, origin, f'no published setting for a gem in {model} on {dataset}: took those of {origin}'
    name = min(known, key=lambda name: abs(math.log(float(name.rpartition('-')[2]) / 100 / density)))
    raw, origin = find(name)
    percent = name.rpartition('-')[2]
    if math.isclose(float(percent) / 100, density):
        return raw, origin, None
    raw['algorithm'].pop('final_mask', None)  # what was published for one sparsity alone
    return raw, origin, f'no published setting for {100 * density:.4g}%: took those of {percent}%, the nearest'


def _by(algorithm: str, mined: Raw) -> tuple[Raw, str]:
    """The recipe of another algorithm, with model and data as Gem-Miner has them for the pair. One that trains scores
    finetunes as Gem-Miner does; for one that trains nothing `training` is how its gem is trained.
    """

    name = f'gem-{algorithm}'
    if name in names():
        own, _ = _read(name)
        settings = {**own['algorithm'], 'finetune': mined['algorithm']['finetune']}
        if algorithm == 'hypercube':
            settings['penalty'] = mined['algorithm']['penalty']
        model, training = (merge(mined[section], own.get(section, {})) for section in ('model', 'training'))
        return {**mined, 'source': own['source'], 'model': model, 'training': training, 'algorithm': settings}, (
            f'{name}.yaml')
    own, _ = _read(_AT_INIT)
    # BatchNorm without scale and shift is for weights that are not trained.
    model = {key: value for key, value in mined['model'].items() if key != 'norm'} | own['model']
    return {**mined, 'source': own['source'], 'model': model, 'training': own['training'],
            'algorithm': {'name': algorithm}}, f'{_AT_INIT}.yaml'


def select_recipe(name: str, usual: tuple[Raw, str, str | None]) -> tuple[Raw, str, str | None]:
    """The recipe of that name or file, as `default` gives it; what a file without base leaves out is the `usual` one's.
    """

    raw, origin = _read(name)
    if name in names() or 'base' in raw:
        return *find(name), None
    base, _, note = usual
    source = {'source': raw.get('source', '')}
    if merge(base, raw) | source == raw | source:
        return raw, origin, None
    return _laid(raw, origin, base), origin, note


def _read(name: str) -> tuple[Raw, str]:
    """A recipe as it is written."""

    path = Path(name)
    if name in names():
        path = _FOLDER / f'{name}.yaml'
    elif not path.exists():
        raise LthError(f'There is no recipe file {name!r}, and no recipe of that name{suggestion(name, names())}')
    return files.read_yaml(path), path.name


def _laid(raw: Raw, origin: str, base: Raw) -> Raw:
    """A recipe on top of another; it has the source that it gives, or says what it was laid over."""

    return merge(base, {'source': f'{origin} over {base["source"]}', **raw})
