"""The register of models, the settings that a model's signature declares, and the layers that families share."""
import inspect
from collections.abc import Callable
from typing import Any, Literal

import pydantic
from torch import nn

from lth.recipe import ModelSettings
from lth.registry import Registry

Shape = tuple[int, int, int]
Norm = Literal['affine', 'plain']
Model = Callable[..., nn.Module]
MODELS: Registry[Model] = Registry('model')


def settings_of(name: str) -> type[ModelSettings]:
    """The settings of a model: its name and its keyword-only arguments, validated by their annotations."""

    options: dict[str, Any] = {'name': (Literal[MODELS.canonical(name)], ...)} | {
        option.name: (option.annotation, option.default)
        for option in inspect.signature(MODELS.find(name)).parameters.values() if option.kind is option.KEYWORD_ONLY}
    exact: type[ModelSettings] = pydantic.create_model('ModelSettings', __base__=ModelSettings, **options)
    return exact


def batch_norm(channels: int, norm: Norm) -> nn.Module:
    """BatchNorm with (`affine`) or without (`plain`) scale and shift; running statistics either way."""

    return nn.BatchNorm2d(channels, affine=norm == 'affine')
