"""Recipes: all settings that decide a result, validated strictly and complete with their defaults.

A recipe has four sections: model, data, training and algorithm. The settings of models and algorithms are declared next
to their code and passed to `validate_recipe`. A new setting is a new field with a default.
"""
import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic
from pydantic import Field, SerializeAsAny, model_validator

from lth.recipes.algorithm_settings import LAYER_SETTINGS, MOST_ROUNDS, AlgorithmSettings
from lth.recipes.section import Section, validate_section
from lth.recipes.training_settings import Adam, AdamW, Constant, Cosine, Multistep, Sgd, TrainingSettings
from lth.registry.registry import normalize_name
from lth.system.yaml_text import Raw

# Other packages import the settings of all sections from here.
__all__ = [
    'MOST_ROUNDS', 'Adam', 'AdamW', 'AlgorithmSettings', 'Constant', 'Cosine', 'DataSettings', 'ModelSettings',
    'Multistep', 'Recipe', 'Section', 'Sgd', 'TrainingSettings', 'differences', 'layer_settings', 'merge',
    'validate_recipe', 'validate_section']


class ModelSettings(Section):
    """The network and its initializer; `initializer_gain` multiplies the weights that the initializer draws. A model's
    options, the keyword arguments of its function, are further fields.
    """

    name: str = Field(
        description='A name of `lth list models`, `torchvision:NAME`, `timm:NAME`, or your own function, '
                    '`path/to/file.py:function`.')
    initializer: str = Field(
        'glorot-normal',
        description='How weights are initialized: a name of `lth list initializers`; `own`: by the model.')
    initializer_gain: float = Field(1., gt=0, le=1000, description='Factor of the weights that the initializer draws.')

    @model_validator(mode='after')
    def _check_gain(self) -> Self:
        if self.initializer == 'own' and self.initializer_gain != 1:
            raise ValueError('initializer_gain has no effect on the initializer own: leave one of them out')
        return self


class DataSettings(Section):
    """The data set, the size of its validation set, how images are stored, and their preprocessing and augmentation."""

    name: str = Field(
        description='A name of `lth list datasets`, `folder:PATH`, or your own function, `path/to/file.py:function`.')
    validation: int = Field(5000, ge=1, description='Number of training images that are used for validation instead.')
    share: float = Field(1., gt=0, le=1, description='Share of the remaining training images that is used.')
    labels: Literal['true', 'random'] = Field(
        'true', description='`random`: random classes for all training and validation images.')
    size: int | None = Field(
        None, ge=1, le=4096,
        description='Side in pixels of the square to which images are scaled and cropped when they are read.')
    channels: Literal[1, 3] | None = Field(None, description='1: images are converted to gray; 3: to color.')
    storage: Literal['auto', 'memory', 'stream'] = Field(
        'auto', description='Folders and ImageNet: in `memory`, or read from disk while training (`stream`).')
    undecodable: Literal['refuse', 'skip'] = Field(
        'refuse',
        description='Images of a folder that cannot be decoded are an error (`refuse`), or left out (`skip`).')
    normalization: Literal['scale', 'standardize'] = Field(
        'scale', description="`scale`: to [0, 1]; `standardize`: also by the data set's mean and standard deviation.")
    resolution: int | None = Field(
        None, ge=1, le=4096,
        description='Side in pixels of the square that the network sees: a random crop in training, else the center.')
    crop: int = Field(0, ge=0, le=32, description='Pixels of black padding for a random crop.')
    resized_crop: float | None = Field(
        None, gt=0, le=1, description='Random crops between this share of the area and all of it, resized to one size.')
    flip: bool = Field(False, description='Mirror half of the images left to right.')

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


class Recipe(Section):
    """All settings that decide a result, except the seed. `source` says where the settings come from."""

    source: str = Field('', description='Where the settings come from, such as a publication.')
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


def layer_settings(recipe: Raw) -> Raw:
    """The settings of a complete recipe's algorithm that say which layers are pruned."""

    return {key: recipe['algorithm'][key] for key in LAYER_SETTINGS}


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
