"""The settings that decide a result: strictly validated, complete, comparable.

A recipe has four sections: model, data, training, algorithm. The model's and the algorithm's settings are declared
beside their code and handed in here. A new setting is a new field with a default, and every recipe on disk then shows
it.
"""
import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

from lth.errors import LthError
from lth.recipes import validation_errors
from lth.recipes.durations import Duration, DurationSetting
from lth.registry.registry import normalize_name
from lth.system.files import Raw

S = TypeVar('S', bound='Section')
_Share = Annotated[float, Field(ge=0, lt=1)]


def _as_list(value: Any) -> Any:
    """One word as a list of one."""

    return [value] if isinstance(value, str) else value


class Section(BaseModel):
    """Settings that belong together: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """Which network, how its weights are drawn; its options are the keyword arguments of the model's function."""

    name: str
    initializer: str = 'glorot-normal'


class AlgorithmSettings(Section):
    """How subnetworks are found. Each algorithm declares its own settings in a subclass, and with these class variables
    and methods what the rest of the package has to know about it; nothing else depends on an algorithm's name.

    `trains`: weights in `each` round, starting again; `throughout`, all rounds being parts of one training of scores;
    or `never`. `finds`: tickets, gems, or nothing new, if it trains what another run found. `uses_data`: whether the
    masks depend on images or labels. `stochastic`: whether each training step samples a mask. `needs_source`: whether
    it starts from rounds of another run. `copies_dense_round`: whether round 0 is a copy of the source's round 0.
    `fits_output_layer`: whether the source's tickets get a new output layer if the classes differ.
    `preset`: the preset that find-gem uses if none is for this algorithm; if it is empty, Gem-Miner's recipe for the
    model and data set, of whose section `algorithm` it takes the settings `preset_keys`.
    `gem_alias`: a second name that find-gem accepts. `event`: what happens between two rounds, as find-gem reports it.
    `sampled_masks`: number of masks whose mean accuracy is reported in addition, see `sampled_accuracy`.
    """

    trains: ClassVar[Literal['each', 'throughout', 'never']] = 'each'
    finds: ClassVar[Literal['tickets', 'gems', 'nothing new']] = 'tickets'
    uses_data: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    needs_source: ClassVar[bool] = False
    copies_dense_round: ClassVar[bool] = False
    fits_output_layer: ClassVar[bool] = False
    preset: ClassVar[str] = ''
    preset_keys: ClassVar[tuple[str, ...]] = ()
    gem_alias: ClassVar[str] = ''
    event: ClassVar[str] = ''
    sampled_masks: ClassVar[int] = 0

    name: str
    keep_out: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_as_list)] = ()

    @property
    def short_name(self) -> str:
        """The algorithm in the default name of a run folder."""

        return self.name

    @property
    def alters_weights(self) -> bool:
        """Whether tickets hold other values than the rewind point's, with pruned weights at 0: rescaled layers, or
        pruned weights that are not 0. Most controls cannot keep these.
        """

        return False

    @property
    def count_is_limit(self) -> bool:
        """Whether the last round may keep fewer weights than its planned count."""

        return False

    def kept_counts(self, _layout: Any, _training: 'TrainingSettings', _steps_per_epoch: int) -> list[int]:
        """Number of prunable weights kept in each round of a network with this Layout; an LthError if it is too small.
        """

        raise NotImplementedError(f'{type(self)} must define kept_counts')

    def check(self, _training: 'TrainingSettings', _steps_per_epoch: int) -> None:
        """Raise an LthError for settings that cannot work with this training."""

    def training_for_round(self, _number: int, training: 'TrainingSettings', _steps_per_epoch: int) -> 'TrainingSettings':
        """How the subnetwork of a round is trained, given the recipe's training."""

        return training

    def inverted(self) -> Raw:
        """The settings that make the algorithm keep the weights that it ranks lowest; an LthError with the reason if
        there are none.
        """

        raise LthError(f'{self.name} has no ranking that can be inverted')

    def source_rounds(self) -> Sequence[int]:
        """The rounds of the source run that the algorithm receives as `source`, in this order."""

        return ()

    def source_round(self, _number: int) -> int:
        """The round of the source run from which this round starts."""

        raise NotImplementedError(f'{type(self)} must define source_round')

    def sampled_accuracy(self, _task: Any, _scores: Any) -> tuple[float, ...]:
        """Mean test accuracy of `sampled_masks` masks sampled from scores (R, P), for each replicate."""

        raise NotImplementedError(f'{type(self)} must define sampled_accuracy')


class DataSettings(Section):
    """Which pictures, how many of them validate, how they are kept and how they reach the network."""

    name: str
    validation: int = Field(5000, ge=1)
    share: float = Field(1., gt=0, le=1)
    labels: Literal['true', 'random'] = 'true'
    size: int | None = Field(None, ge=1, le=4096)
    channels: Literal[1, 3] | None = None
    storage: Literal['auto', 'memory', 'stream'] = 'auto'
    undecodable: Literal['refuse', 'skip'] = 'refuse'
    normalization: Literal['scale', 'standardize'] = 'scale'
    resolution: int | None = Field(None, ge=1, le=4096)
    crop: int = Field(0, ge=0, le=32)
    resized_crop: float | None = Field(None, gt=0, le=1)
    flip: bool = False

    @pydantic.model_validator(mode='after')
    def _one_way_to_crop(self) -> 'DataSettings':
        if self.crop and self.resized_crop:
            raise ValueError('crop moves pictures by pixels, resized_crop cuts and enlarges: leave one out')
        return self

    @property
    def augments(self) -> bool:
        """Whether training images change at random from epoch to epoch."""

        return bool(self.crop or self.resized_crop or self.flip)

    @property
    def moves(self) -> bool:
        """Whether a pixel of the stored image may reach the network at another position, or not at all."""

        return self.augments or self.resolution is not None


class Adam(Section):
    """torch.optim.Adam on all weights together."""

    name: Literal['adam']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0., ge=0)


class AdamW(Section):
    """torch.optim.AdamW on all weights together: the decay shrinks the weights and stays out of the gradient."""

    name: Literal['adamw']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)


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
    milestones: Annotated[tuple[DurationSetting, ...], Field(strict=False)]
    factor: float = Field(0.1, gt=0, lt=1)


class Cosine(Section):
    """Half a cosine from the learning rate to 0 over the whole length."""

    name: Literal['cosine']
    per: Literal['epoch', 'iteration'] = 'iteration'


class TrainingSettings(Section):
    """How any network, dense or sparse, is trained."""

    length: DurationSetting
    batch_size: int = Field(ge=1)
    optimizer: Annotated[Adam | AdamW | Sgd, Field(discriminator='name')]
    schedule: Annotated[Constant | Multistep | Cosine, Field(discriminator='name')] = Constant(name='constant')
    warmup: DurationSetting = Duration(0, 'iterations')
    measure_every: DurationSetting = Duration(1, 'epochs')
    precision: Literal['fp32', 'tf32', 'bf16'] = 'fp32'

    @pydantic.field_validator('length', 'measure_every')
    @classmethod
    def _positive(cls, span: Duration) -> Duration:
        if span.amount < 1:
            raise ValueError('wants at least 1')
        return span


class Recipe(Section):
    """Everything that decides a result but the seed."""

    source: str = ''
    model: SerializeAsAny[ModelSettings]
    data: DataSettings
    training: TrainingSettings
    algorithm: SerializeAsAny[AlgorithmSettings]

    def dump(self) -> Raw:
        """Complete, defaults included, in plain YAML types."""

        return self.model_dump(mode='json')


def validate_recipe(raw: Raw, origin: str, *, model: type[ModelSettings], algorithm: type[AlgorithmSettings]) -> Recipe:
    """The recipe, or an LthError that names every bad setting; `origin` says where they were written."""

    exact: type[Recipe] = pydantic.create_model(
        'Recipe', __base__=Recipe, model=(model, ...), algorithm=(algorithm, ...))
    return validate_section(exact, raw, origin)


def validate_section(section: type[S], raw: Raw, origin: str) -> S:
    """One section, or an LthError that names every bad setting in it."""

    try:
        return section.model_validate(raw)
    except pydantic.ValidationError as error:
        raise LthError(validation_errors.explain(section, raw, origin, error.errors())) from None


def merge(base: Raw, over: Mapping[str, Any]) -> Raw:
    """`over` on top of `base`, section by section; a section whose `name` changes starts afresh."""

    result = copy.deepcopy(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and _same_thing(old, value):
            result[key] = merge(old, value)
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
    return 'name' not in old or 'name' not in new or normalize_name(str(old['name'])) == normalize_name(str(new['name']))
