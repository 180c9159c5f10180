"""The settings that decide a result: strictly validated, complete, comparable.

A recipe has four sections: model, data, training, algorithm. The model's and the algorithm's settings are declared
beside their code and handed in here. A new setting is a new field with a default, and every recipe on disk then shows
it.
"""
import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from lth.errors import LthError, suggestion
from lth.lengths import Length, Span
from lth.registry import folded

Raw = dict[str, Any]
S = TypeVar('S', bound='Section')
_Share = Annotated[float, Field(ge=0, lt=1)]
_SLIPS = {
    'epoch': 'length', 'epochs': 'length', 'iterations': 'length', 'steps': 'length', 'lr': 'learning_rate',
    'batch': 'batch_size', 'wd': 'weight_decay', 'batchsize': 'batch_size', 'gamma': 'factor', 'sparsity': 'rates',
    'rate': 'rates'}


class Section(BaseModel):
    """Settings that belong together: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """Which network; its options are the keyword arguments of the model's function."""

    name: str


class AlgorithmSettings(Section):
    """How subnetworks are found; every algorithm declares its own."""

    name: str
    keep_out: Annotated[tuple[str, ...], Field(strict=False)] = ()


class DataSettings(Section):
    """Which pictures, how many of them validate, and how they reach the network."""

    name: str
    validation: int = Field(5000, ge=1)
    normalization: Literal['scale', 'standardize'] = 'scale'
    crop: int = Field(0, ge=0, le=32)
    flip: bool = False


class Adam(Section):
    """torch.optim.Adam on all weights together."""

    name: Literal['adam']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0., ge=0)


class Sgd(Section):
    """torch.optim.SGD on all weights together."""

    name: Literal['sgd']
    learning_rate: float = Field(gt=0)
    momentum: float = Field(0., ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(0., ge=0)

    @pydantic.model_validator(mode='after')
    def _nesterov_has_momentum(self) -> 'Sgd':
        if self.nesterov and not self.momentum:
            raise ValueError('nesterov needs a momentum above 0')
        return self


class Constant(Section):
    """The learning rate as it is."""

    name: Literal['constant']


class Multistep(Section):
    """The learning rate times `factor` at each milestone."""

    name: Literal['multistep']
    milestones: Annotated[tuple[Length, ...], Field(strict=False)]
    factor: float = Field(0.1, gt=0, lt=1)


class Cosine(Section):
    """Half a cosine from the learning rate to 0 over the whole length."""

    name: Literal['cosine']
    per: Literal['epoch', 'iteration'] = 'iteration'


class Training(Section):
    """How any network, dense or sparse, is trained."""

    length: Length
    batch_size: int = Field(ge=1)
    optimizer: Annotated[Adam | Sgd, Field(discriminator='name')]
    schedule: Annotated[Constant | Multistep | Cosine, Field(discriminator='name')] = Constant(name='constant')
    warmup: Length = Span(0, 'iterations')
    measure_every: Length = Span(1, 'epochs')
    precision: Literal['fp32', 'tf32', 'bf16'] = 'fp32'

    @pydantic.field_validator('length', 'measure_every')
    @classmethod
    def _positive(cls, span: Span) -> Span:
        if span.amount < 1:
            raise ValueError('wants at least 1')
        return span


class Recipe(Section):
    """Everything that decides a result but the seed."""

    source: str = ''
    model: SerializeAsAny[ModelSettings]
    data: DataSettings
    training: Training
    algorithm: SerializeAsAny[AlgorithmSettings]

    def dump(self) -> Raw:
        """Complete, defaults included, in plain YAML types."""

        return self.model_dump(mode='json')


def validated(raw: Raw, origin: str, *, model: type[ModelSettings], algorithm: type[AlgorithmSettings]) -> Recipe:
    """The recipe, or an LthError that names every bad setting; `origin` says where they were written."""

    exact: type[Recipe] = pydantic.create_model(
        'Recipe', __base__=Recipe, model=(model, ...), algorithm=(algorithm, ...))
    return checked(exact, raw, origin)


def checked(section: type[S], raw: Raw, origin: str) -> S:
    """One section, or an LthError that names every bad setting in it."""

    try:
        return section.model_validate(raw)
    except pydantic.ValidationError as error:
        details = _telling(error.errors())
        raise LthError('\n'.join(_explained(section, raw, origin, detail) for detail in details)) from None


def merged(base: Raw, over: Mapping[str, Any]) -> Raw:
    """`over` on top of `base`, section by section; a section whose `name` changes starts afresh."""

    result = copy.deepcopy(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and _same_thing(old, value):
            result[key] = merged(old, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def differences(one: Raw, other: Raw, path: str = '') -> list[str]:
    """Every setting in which two complete recipes differ, as `training.batch_size: 60 / 128`."""

    rows = []
    for key in sorted(one.keys() | other.keys()):
        mine, theirs, here = one.get(key), other.get(key), f'{path}{key}'
        if isinstance(mine, dict) and isinstance(theirs, dict):
            rows += differences(mine, theirs, f'{here}.')
        elif mine != theirs:
            rows.append(f'{here}: {mine} / {theirs}')
    return rows


def _same_thing(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return 'name' not in old or 'name' not in new or folded(str(old['name'])) == folded(str(new['name']))


def _telling(details: list[Any]) -> list[Any]:
    """The complaints without those of a union's other branch: `rates` may be a number or settings."""

    told = [detail for detail in details if detail['type'] != 'model_type'
            and not (detail['type'] == 'float_type' and isinstance(detail['input'], Mapping))]
    return told or details


def _explained(section: type[Section], raw: Raw, origin: str, detail: Any) -> str:
    """One pydantic complaint as a sentence with the place, the value and the way out."""

    known, path = _place(section, raw, detail['loc'], missing=detail['type'] == 'missing')
    where = ': '.join([origin, '.'.join(path[:-1])] if path[:-1] else [origin])
    last = path[-1] if path else ''
    if detail['type'] == 'extra_forbidden':
        slip = _SLIPS.get(last)
        advice = f', did you mean {slip!r}?' if slip in known else suggestion(last, known)
        return f'{where}: unknown key {last!r}{advice}'
    if detail['type'] == 'missing':
        return f'{where}: the key {last!r} is missing: add it.'
    if detail['type'] == 'union_tag_invalid':
        tag, tags = detail['ctx']['tag'], detail['ctx']['expected_tags'].replace("'", '').split(', ')
        return f'{where}: {last}: unknown name {tag!r}{suggestion(tag, tags)}'
    message = detail['msg'].removeprefix('Value error, ').replace('Input', 'it', 1)
    return f'{where}: {last}: {message[0].lower() + message[1:]}; it is {_shown(detail["input"])}.'


def _place(section: type[Section], raw: Any, location: tuple[Any, ...], *, missing: bool) -> tuple[set[str], list[str]]:
    """The keys known at the place of an error, and its path: what of pydantic's location stands in the recipe."""

    path, known = list[str](), set(section.model_fields)
    inner: type[Section] | None = section
    for position, part in enumerate(location):
        there = part in raw if isinstance(raw, Mapping) else isinstance(raw, (list, tuple)) and part in range(len(raw))
        if not there and not (missing and position == len(location) - 1):
            continue
        known = set(inner.model_fields) if inner else known
        path.append(str(part))
        raw = raw[part] if there else None
        field = inner.model_fields.get(part) if inner and isinstance(part, str) else None
        inner = _section_of(field.annotation, raw) if field else None
    return known, path


def _section_of(annotation: Any, raw: Any) -> type[Section] | None:
    """The section class of a field, chosen by `name` where there are several."""

    options = [one for one in getattr(annotation, '__args__', (annotation,))
               if isinstance(one, type) and issubclass(one, Section)]
    for option in options:
        name = raw.get('name') if isinstance(raw, Mapping) else None
        if len(options) == 1 or name in getattr(option.model_fields['name'].annotation, '__args__', ()):
            return option
    return None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + '...'
