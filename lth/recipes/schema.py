"""Recipes: all settings that decide a result, validated strictly and complete with their defaults.

A recipe has four sections: model, data, training and algorithm. The settings of models and algorithms are declared next
to their code and passed to `validate_recipe`. A new setting is a new field with a default.
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
    """A list of one word instead of the word."""

    return [value] if isinstance(value, str) else value


class Section(BaseModel):
    """A group of settings. Unknown keys and wrong types are errors; a section cannot be changed."""

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True, allow_inf_nan=False)


class ModelSettings(Section):
    """The network and its initializer. A model's options, the keyword arguments of its function, are further fields."""

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

    def training_for_round(
            self, _number: int, training: 'TrainingSettings', _steps_per_epoch: int) -> 'TrainingSettings':
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

    def source_round(self, number: int) -> int:
        """The round of the source run from which round `number` starts."""

        return number

    def sampled_accuracy(self, _task: Any, _scores: Any) -> tuple[float, ...]:
        """Mean test accuracy of `sampled_masks` masks sampled from scores (R, P), for each replicate."""

        return ()


class DataSettings(Section):
    """The data set, the size of its validation set, how images are stored, and their preprocessing and augmentation."""

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
    def _at_most_one_crop(self) -> 'DataSettings':
        if self.crop and self.resized_crop:
            raise ValueError('crop shifts images by pixels, resized_crop crops and enlarges them: leave one out')
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
    """torch.optim.Adam with one set of options for all weights."""

    name: Literal['adam']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0., ge=0)


class AdamW(Section):
    """torch.optim.AdamW with one set of options for all weights: weight decay is not part of the gradient."""

    name: Literal['adamw']
    learning_rate: float = Field(gt=0)
    betas: Annotated[tuple[_Share, _Share], Field(strict=False)] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.01, ge=0)


class Sgd(Section):
    """torch.optim.SGD with one set of options for all weights."""

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
    """The same learning rate in all steps."""

    name: Literal['constant']


class Multistep(Section):
    """The learning rate is multiplied by `factor` at each milestone."""

    name: Literal['multistep']
    milestones: Annotated[tuple[DurationSetting, ...], Field(strict=False)]
    factor: float = Field(0.1, gt=0, lt=1)


class Cosine(Section):
    """The learning rate decreases to 0 as half a cosine over the length of training."""

    name: Literal['cosine']
    per: Literal['epoch', 'iteration'] = 'iteration'


class TrainingSettings(Section):
    """How a network, dense or sparse, is trained."""

    length: DurationSetting
    batch_size: int = Field(ge=1)
    optimizer: Annotated[Adam | AdamW | Sgd, Field(discriminator='name')]
    schedule: Annotated[Constant | Multistep | Cosine, Field(discriminator='name')] = Constant(name='constant')
    warmup: DurationSetting = Duration(0, 'iterations')
    measure_every: DurationSetting = Duration(1, 'epochs')
    precision: Literal['auto', 'fp32', 'tf32', 'bf16'] = 'fp32'

    @pydantic.field_validator('length', 'measure_every')
    @classmethod
    def _positive(cls, duration: Duration) -> Duration:
        if duration.amount < 1:
            raise ValueError('it should be at least 1')
        return duration


class Recipe(Section):
    """All settings that decide a result, except the seed. `source` says where the settings come from."""

    source: str = ''
    model: SerializeAsAny[ModelSettings]
    data: DataSettings
    training: TrainingSettings
    algorithm: SerializeAsAny[AlgorithmSettings]

    def dump(self) -> Raw:
        """All settings, including defaults, as dicts, lists, strings, numbers and bools."""

        return self.model_dump(mode='json')


def validate_recipe(raw: Raw, origin: str, *, model: type[ModelSettings], algorithm: type[AlgorithmSettings]) -> Recipe:
    """The recipe with these settings of its model and algorithm. LthError with a line for each wrong setting, which
    starts with `origin`, the name of the file.
    """

    exact: type[Recipe] = pydantic.create_model(
        'Recipe', __base__=Recipe, model=(model, ...), algorithm=(algorithm, ...))
    return validate_section(exact, raw, origin)


def validate_section(section: type[S], raw: Raw, origin: str) -> S:
    """The section. LthError with a line for each wrong setting, which starts with `origin`."""

    try:
        return section.model_validate(raw)
    except pydantic.ValidationError as error:
        raise LthError(validation_errors.explain(section, raw, origin, error.errors())) from None


def merge(base: Raw, over: Mapping[str, Any]) -> Raw:
    """`base` with the settings of `over`. Sections are merged, but one with another `name` replaces the old one."""

    result = copy.deepcopy(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, dict) and _same_name(old, value):
            result[key] = merge(old, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def differences(first: Raw, second: Raw, path: str = '') -> list[str]:
    """The settings in which two complete recipes differ, each as `training.batch_size: 60 / 128`."""

    rows = []
    for key in sorted(first.keys() | second.keys()):
        left, right = first.get(key), second.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            rows += differences(left, right, f'{path}{key}.')
        elif left != right:
            rows.append(f'{path}{key}: {left} / {right}')
    return rows


def _same_name(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    names = {normalize_name(str(section['name'])) for section in (old, new) if 'name' in section}
    return len(names) < 2
